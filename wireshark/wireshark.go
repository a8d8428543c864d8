// Package wireshark holds what Wireshark and tshark need in order to read a
// sockcap capture: the dissector, a Lua script for Wireshark 4.0 and later.
package wireshark

import _ "embed"

// DissectorName is the file name under which Wireshark's plugin folders keep
// the dissector.
const DissectorName = "sockcap.lua"

//go:embed sockcap.lua
var dissector string

// Dissector returns the text of sockcap.lua. The caller owns the bytes.
//
// Wireshark loads it from the folders that `tshark -G folders` names, or by
// `-X lua_script:FILE`. From 4.4 on, Wireshark and tshark run by root load no
// Lua and say nothing about it.
func Dissector() []byte { return []byte(dissector) }
