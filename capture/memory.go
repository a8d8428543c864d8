package capture

import "golang.org/x/sys/unix"

// memory is the machine's, in bytes; 0 if it can't be told.
func memory() int {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) != nil {
		return 0
	}
	return int(uint64(info.Totalram) * uint64(info.Unit))
}
