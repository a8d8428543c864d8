package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"
)

// The crowd: so many connections are open, and so many processes a second come,
// say something and go.
const (
	crowdConnections = 10000
	crowdPerSecond   = 1000
)

// crowd is what becomes of the cost of a message in a crowd, and of names and
// memory in one that goes on.
func (b *bench) crowd(ctx context.Context) error {
	return errors.Join(b.crowdCost(ctx), b.crowdNames(ctx))
}

// around is what is there beside the ping-pong.
type around struct {
	name  string
	over  int // connections in turn
	held  int // further ones
	crowd bool
}

func arounds() []around {
	return []around{
		{name: "10 connections", over: 10},
		{name: "the same, in the crowd", over: 10, held: crowdConnections - 10, crowd: true},
		{name: "9900 connections in turn, in the crowd", over: 9900, held: crowdConnections - 9900, crowd: true},
	}
}

// crowdRound is what was measured of each of these, beside a watcher.
type crowdRound struct {
	cpu    []spread // ns a message
	rate   []spread // processes a second
	names  named
	lost   uint64
	memory int64
}

// crowdCost measures the ping-pong in each situation in turn, several times
// beside one watcher, as the machine does not stay the same: bare and captured in
// an order that changes with the rounds. What counts is the processor time of its
// processes, as the crowd takes all the processors that there are.
func (b *bench) crowdCost(ctx context.Context) error {
	all := arounds()
	got := make(map[bool][]crowdRound) // by whether it was captured
	for round := range b.rounds {
		for _, captured := range [...]bool{round%2 == 1, round%2 == 0} {
			r, err := b.crowdRound(ctx, all, captured)
			if err != nil {
				return err
			}
			got[captured] = append(got[captured], r)
		}
	}
	t := newTable(fmt.Sprintf("crowd of %d open connections and %d processes a second, beside sockcap -w FILE: processor time of a message of 64 B, ping-pong, stream (min median max of %d rounds)",
		crowdConnections, crowdPerSecond, b.rounds),
		"", "ns, bare", "ns, captured", "ratio", "captured, to that at 10", "ratio, to that at 10", "processes a second")
	for i, a := range all {
		var bare, captured, ratio, to10, ratioTo10, rate spread
		for round := range b.rounds {
			one, other := got[false][round].cpu, got[true][round].cpu
			bare, captured = append(bare, one[i].min()), append(captured, other[i].min())
			ratio = append(ratio, other[i].min()/one[i].min())
			to10 = append(to10, other[i].min()/other[0].min())
			ratioTo10 = append(ratioTo10, ratio[round]/(other[0].min()/one[0].min()))
			rate = append(rate, got[true][round].rate[i]...)
		}
		per := "-"
		if a.crowd {
			per = ns(rate.median())
		}
		t.row(a.name, ns(bare.median()), ns(captured.median()), ratio.String(), to10.String(), ratioTo10.String(), per)
	}
	if err := t.end(); err != nil {
		return err
	}
	var names named
	var lost uint64
	var memory int64
	for _, r := range got[true] {
		names.add(r.names)
		lost, memory = lost+r.lost, max(memory, r.memory)
	}
	t = newTable("and of these processes", "names right", "wrong", "missing", "packets lost", "sockcap's anonymous memory")
	t.row(append(names.cells(), fmt.Sprint(lost), formatBytes(memory))...)
	return t.end()
}

// crowdRound measures each situation thrice.
func (b *bench) crowdRound(ctx context.Context, all []around, captured bool) (r crowdRound, err error) {
	var w watcher
	file := filepath.Join(b.dir, "crowd.pcapng")
	if captured {
		defer os.Remove(file)
		w = watcher{argv: []string{b.sockcap, "-w", file}, ready: listening}
	}
	watch, err := w.begin(ctx)
	if err != nil {
		return r, err
	}
	r.cpu, r.rate = make([]spread, len(all)), make([]spread, len(all))
	var who []talker
	for range 3 {
		for i, a := range all {
			cpu, in, err := b.inCrowd(ctx, a)
			if err != nil {
				return r, fmt.Errorf("%s: %w", a.name, err)
			}
			r.cpu[i], r.rate[i] = append(r.cpu[i], cpu), append(r.rate[i], in.perSecond())
			who = append(who, in.All...)
		}
	}
	time.Sleep(settle)
	s, err := watch.end(file)
	if err != nil || !captured {
		return r, err
	}
	r.lost, r.memory = s.lost, s.anonymous
	r.names, err = namesIn(file, b.dir, who)
	return r, err
}

// inCrowd gives the processor time of a message, ns, and who came and went
// meanwhile.
func (b *bench) inCrowd(ctx context.Context, a around) (cpu float64, who talked, err error) {
	t := traffic{Shape: pingPong, Type: "stream", Size: 64, Time: time.Second, Pinned: true,
		Connections: a.over, Slice: a.over * max(1, 1000/a.over)}
	if !a.crowd {
		r, err := t.run(ctx)
		return r.CPU, who, err
	}
	leave, err := hold(ctx, b.dir, a.held, holdMost)
	if err != nil {
		return 0, who, err
	}
	talking, err := startTalkers(ctx, b.dir, crowdPerSecond, math.MaxInt)
	if err != nil {
		return 0, who, err
	}
	r, err := t.run(ctx)
	if err != nil {
		return 0, who, err
	}
	if who, err = talkedTo(talking, false); err != nil {
		return 0, who, err
	}
	return r.CPU, who, leave()
}

// crowdNames lets a crowd go on, and looks at names and memory.
func (b *bench) crowdNames(ctx context.Context) error {
	t := newTable(fmt.Sprintf("crowd that goes on, beside sockcap -w FILE of nothing else: %d connections, and so many processes", crowdConnections),
		"processes", "a second", "names right", "wrong", "missing", "sockcap's anonymous memory")
	file := filepath.Join(b.dir, "crowd.pcapng")
	watch, err := watcher{argv: []string{b.sockcap, "-w", file, b.dir}, ready: listening}.begin(ctx)
	if err != nil {
		return err
	}
	leave, err := hold(ctx, b.dir, crowdConnections, holdMost)
	if err != nil {
		return err
	}
	batches, size := 4, 10000
	if b.long {
		batches = 20
	}
	var all []talker
	var rows [][]string
	for range batches {
		talking, err := startTalkers(ctx, b.dir, crowdPerSecond, size)
		if err != nil {
			return err
		}
		who, err := talkedTo(talking, true)
		if err != nil {
			return err
		}
		all = append(all, who.All...)
		used, err := usageOf(watch.cmd.Process.Pid)
		if err != nil {
			return err
		}
		rows = append(rows, []string{fmt.Sprint(len(all)), fmt.Sprintf("%.0f", who.perSecond()), "", "", "", formatBytes(used.anonymous)})
	}
	time.Sleep(settle)
	s, err := watch.end(file)
	if err := errors.Join(err, leave()); err != nil {
		return err
	}
	n, err := namesIn(file, b.dir, all)
	if err != nil {
		return err
	}
	last := rows[len(rows)-1]
	copy(last[2:], n.cells())
	for _, row := range rows {
		t.row(row...)
	}
	if s.lost > 0 {
		t.row("lost", fmt.Sprint(s.lost))
	}
	return t.end()
}
