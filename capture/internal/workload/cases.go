package workload

import "slices"

// Cases lists all cases, in the order in which they should be run.
func Cases() []Case {
	return slices.Concat(streamCases(), datagramCases(), nameCases(), specialCases(), passedCases(), readCases(), processCases(), readersCases(), existingCases(), lifeCases(), eventCases(), kernelCases(), memoryCases())
}
