package main

import (
	"fmt"
	"slices"
)

// What memory may grow by, from the first third of the samples after the first
// fifth, in which it warms up, to the last: 10 %, and what a garbage collection
// more or less makes.
const (
	warmUp     = 5 // one part in so many
	memorySway = 8 << 10
	filesSway  = 2
	fewest     = 40 // samples: in less, some minutes, what is remembered of sockets still fills
)

// grown gives what has grown, in words; "" if nothing has. The samples were taken
// at moments at which nothing was left to do.
func grown(samples []sample) string {
	if len(samples) < fewest {
		return ""
	}
	samples = samples[len(samples)/warmUp:]
	third := len(samples) / 3
	early, late := samples[:third], samples[len(samples)-third:]
	if a, b := median(early, memoryOf), median(late, memoryOf); b > a+a/10+memorySway {
		return fmt.Sprintf("memory has grown from %d to %d KiB", a, b)
	}
	if a, b := median(early, filesOf), median(late, filesOf); b > a+filesSway {
		return fmt.Sprintf("descriptors have grown from %d to %d", a, b)
	}
	return ""
}

func memoryOf(s sample) int { return s.memory }

func filesOf(s sample) int { return s.files }

func median(samples []sample, of func(sample) int) int {
	var values []int
	for _, s := range samples {
		values = append(values, of(s))
	}
	slices.Sort(values)
	return values[len(values)/2]
}
