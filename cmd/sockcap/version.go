package main

import "runtime/debug"

// release is the version that the build was told, by the linker's -X; make
// does so. Nothing else sets it.
var release string

// version is what the build was told; else what the Go toolchain has stamped,
// as `go install` of a module's version does.
func version() string {
	if release != "" {
		return release
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}
