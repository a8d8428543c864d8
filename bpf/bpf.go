// Package bpf is the kernel side of sockcap: the programs of sockcap.bpf.c as
// a compiled object for each architecture, the knobs they are loaded with, and
// the one decoder of what they put into the ring buffer ([Decode]).
package bpf

import (
	"bytes"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
)

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -no-global-types -cflags "-O2 -g -Wall -Werror -mcpu=v2" -target amd64,arm64 sockcap sockcap.bpf.c

// Counter numbers the counters of the programs, as enum loss does.
type Counter int

// The counters of the programs.
const (
	LossRing       Counter = iota // units that found the ring buffer full
	LossNote                      // other records that did
	LossMap                       // entries that a map did not take, or not in time
	LossUnreadable                // pieces whose bytes could not be copied
	LossLong                      // units with more pieces than the programs take
	LossRest                      // units that lack their end: the ring buffer was full
	CountSelf                     // units left out because they are sockcap's own
	CountUnits                    // units handed over
	CountFailed                   // buffers of failed sends, rightly left out
	CountEarly                    // units taken before all programs were in place
	CountFiltered                 // units that the filter left out
	CountRefused                  // notes of the filter for which a map had no room
	LossLife                      // events that are no data, processes: no room in ring buffer or map, or not in time
	LossPassed                    // of what was passed along: no room in ring buffer or map
)

// Counters is how many counters the programs have room for.
const Counters = 16

// Spread is in how many places the counters from [CountUnits] on are kept
// besides, eight of them in each: their sum counts.
const Spread = 64

// Range is a range of kernel text, To excluded.
type Range struct{ From, To uint64 }

// MaxRanges is how many ranges a knob of ranges takes.
const MaxRanges = 16

// Knobs are constants of the programs, set before they are loaded.
type Knobs struct {
	SelfPID           uint32  // never record this process
	IncludeSelf       bool    // record it all the same, once armed
	WakeupBytes       uint64  // wake the reader when the ring holds so much; 0: at once
	Snaplen           uint32  // bytes of a unit to copy
	ThreadSize        uint32  // bytes of a kernel stack
	PageSize          uint32  // bytes of a page
	InlineQueue       bool    // streams are queued without skb_queue_tail
	TakeOnRead        bool    // data is taken when it is read (receive side)
	ExactSenders      bool    // allocations name the sender
	RequestDestructor uint64  // address of sock_wfree
	FailedAt          []Range // functions that free what was not sent
	ReleaseAt         []Range // functions that purge a closed socket's queue
	GCReorders        bool    // unreachable sockets' queues are not purged in order
	Twins             bool    // each fentry program is attached twice
	HoldCPU           bool    // programs that may be preempted forbid it
	AllocAt           []Range // functions that allocate an skb
	ConsumeSKB        uint32  // offsets of arguments in classic tracepoints
	ConsumeLocation   uint32  // 0: this kernel's consume_skb does not tell it
	KfreeSKB          uint32
	KfreeLocation     uint32
	CopySKB           uint32
	AllocSite         uint32
	AllocPointer      uint32
	ReadySK           uint32
	SentSK            uint32
	FamilyOnly        bool   // keep only what concerns the processes in the map family
	ForkChild         uint32 // offset of child_pid in sched_process_fork
	Filtering         bool   // filter_keep may say no
	FiltersSockets    bool   // filter_hope may say no
	FiltersSenders    bool   // filter_sender may say no
	FiltersReaders    bool   // it asks for filter_reader too
	AsksReaders       bool   // the filter may ask who reads
	AsksIDs           bool   // filter_sender and filter_reader ask for pid, uid or gid
	AsksComms         bool   // they ask for names
	FiltersNames      bool   // they ask for addresses
	NameSeed          uint64 // of NameOf
}

// Object gives the programs as they were compiled, their knobs not set.
func Object() (*ebpf.CollectionSpec, error) { return loadSockcap() }

// Load gives the programs with their knobs set, not yet in the kernel.
func Load(k Knobs) (*ebpf.CollectionSpec, error) {
	spec, err := Object()
	if err != nil {
		return nil, err
	}
	return spec, k.Set(spec)
}

// Set sets the knobs of programs that [Object] gave.
func (k *Knobs) Set(spec *ebpf.CollectionSpec) error {
	values := map[string]any{
		"self_pid":             k.SelfPID,
		"include_self":         k.IncludeSelf,
		"wakeup_bytes":         k.WakeupBytes,
		"snaplen":              k.Snaplen,
		"thread_size":          k.ThreadSize,
		"page_size":            k.PageSize,
		"take_on_read":         k.TakeOnRead,
		"exact_senders":        k.ExactSenders,
		"twins":                k.Twins,
		"hold_cpu":             k.HoldCPU,
		"gc_reorders":          k.GCReorders,
		"request_destructor":   k.RequestDestructor,
		"consume_skb_at":       k.ConsumeSKB,
		"consume_location_at":  k.ConsumeLocation,
		"consume_has_location": k.ConsumeLocation != 0,
		"kfree_skb_at":         k.KfreeSKB,
		"kfree_location_at":    k.KfreeLocation,
		"copy_skb_at":          k.CopySKB,
		"alloc_site_at":        k.AllocSite,
		"alloc_pointer_at":     k.AllocPointer,
		"ready_sk_at":          k.ReadySK,
		"sent_sk_at":           k.SentSK,
		"family_only":          k.FamilyOnly,
		"fork_child_at":        k.ForkChild,
		"filtering":            k.Filtering,
		"filters_sockets":      k.FiltersSockets,
		"filters_senders":      k.FiltersSenders,
		"filters_readers":      k.FiltersReaders,
		"asks_readers":         k.AsksReaders,
		"asks_ids":             k.AsksIDs,
		"asks_comms":           k.AsksComms,
		"filters_names":        k.FiltersNames,
		"name_seed":            k.NameSeed,
	}
	for name, ranges := range map[string][]Range{"failed_at": k.FailedAt, "alloc_at": k.AllocAt, "release_at": k.ReleaseAt} {
		if len(ranges) > MaxRanges {
			return fmt.Errorf("%s: %d ranges, at most %d", name, len(ranges), MaxRanges)
		}
		var fixed [MaxRanges]Range
		copy(fixed[:], ranges)
		values[name] = fixed
	}
	for name, value := range values {
		v := spec.Variables[name]
		if v == nil {
			return fmt.Errorf("no knob %s in the object", name)
		}
		if err := v.Set(value); err != nil {
			return fmt.Errorf("knob %s: %w", name, err)
		}
	}
	return nil
}

// Types gives the types of the programs.
func Types() (*btf.Spec, error) { return btf.LoadSpecFromReader(bytes.NewReader(_SockcapBytes)) }
