package main

import (
	"fmt"
	"slices"
)

// What sockcap remembers has bounds: of closed sockets, of 16,384 processes, of
// what is swept. It grows until they are reached, by what has come and gone, not
// by time; behind that a table that is full and one that has no bound differ. So
// of memory those samples count that were taken when so many flows had ended.
const full = 24_000

// What may grow, from the first third of the samples to the last: memory by 10 %,
// and what a garbage collection more or less makes.
const (
	memorySway = 8 << 10
	filesSway  = 2
	warmUp     = 5 // of descriptors: one part in so many
	fewest     = 30
)

// grown gives what has grown, in words; "" if nothing has. The samples were taken
// at moments at which nothing was left to do. In too few nothing is seen of
// memory: judged is false then.
func grown(samples []sample) (what string, judged bool) {
	if a, b := thirds(samples[len(samples)/warmUp:], filesOf); b > a+filesSway {
		return fmt.Sprintf("descriptors have grown from %d to %d", a, b), true
	}
	for len(samples) > 0 && samples[0].flows < full {
		samples = samples[1:]
	}
	if a, b := thirds(samples, memoryOf); b > a+a/10+memorySway {
		return fmt.Sprintf("memory has grown from %d to %d KiB", a, b), true
	}
	return "", len(samples) >= fewest
}

// thirds gives the medians of the first third of samples, and of the last; 0 if
// there are too few.
func thirds(samples []sample, of func(sample) int) (early, late int) {
	if len(samples) < fewest {
		return 0, 0
	}
	third := len(samples) / 3
	return median(samples[:third], of), median(samples[len(samples)-third:], of)
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
