// Package wireshark holds what Wireshark and tshark need in order to read a
// sockcap capture, for Wireshark 4.0 and later: the dissector, a Lua script,
// and a profile with columns, colors and buttons; and it puts both where they
// look for them.
package wireshark

import (
	"embed"
	"io/fs"
)

// DissectorName is the file name under which Wireshark's plugin folders keep
// the dissector.
const DissectorName = "sockcap.lua"

// ProfileName is what -C and Wireshark's list of profiles call the profile.
const ProfileName = "sockcap"

//go:embed sockcap.lua
var dissector string

//go:embed profile
var profile embed.FS

// Dissector returns the text of sockcap.lua. The caller owns the bytes.
//
// Wireshark loads it from the folders that `tshark -G folders` names, or by
// `-X lua_script:FILE`. From 4.4 on, Wireshark and tshark run by root load no
// Lua and say nothing about it.
func Dissector() []byte { return []byte(dissector) }

// Profile returns the files of the profile, which belong into one folder.
func Profile() fs.FS {
	files, err := fs.Sub(profile, "profile")
	if err != nil {
		panic(err) // the name is a valid one
	}
	return files
}
