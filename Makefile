# The suites of Debian whose tshark the machine's own is not, of those that have
# 4.0, 4.4 and 4.6.
tsharks = $(shell tshark --version 2>/dev/null | grep -q '^TShark.* 4\.0\.' || echo bookworm) trixie sid

# The kernels of testdata/vm, those first that take longest; the tests that run
# there too, each in a machine of its own (all: make test-vm vm_tests=.*), fewer on
# the slowest, one of two of arm64; more of them for the oldest and the newest
# kernel, with the hooks that sockcap takes there and those that work everywhere; and
# what runs a test as root on this one.
vms := amd64-7 amd64-5.10 arm64-6.1 amd64-6.12 amd64-6.1 arm64-6.12
vm_tests ?= Layout|GroundTruth|LargeUnits|KernelFilter|FamilyGroundTruth$(if $(filter arm64-6.1,$*),,|Waiting|Skipped|BegunBefore|ReaderOfLeftOut)
ends := $(if $(filter file,$(origin vm_tests)),amd64-7 amd64-5.10)
end_tests = NamesCross|Unwanted.*|Hopeless$(if $(filter amd64-5.10,$*),.*)|Unharmed|EndsWithoutRights|StateLate
end_hooks = $(if $(filter amd64-7,$*),kprobe,fentry),tracepoint
as_root := $(if $(filter 0,$(shell id -u)),,-exec 'sudo -E')

# help: lists the targets
help:
	@sed -n 's/^# \([a-z-]*\): /\1\t/p' Makefile | expand -t 16

# What the binary and the packages call themselves; by default as git knows it.
version ?=

# build: the static binary, ./sockcap
build:
	version='$(version)'; [ -n "$$version" ] || version=$$(cmd/sockcap/package/version | cut -d ' ' -f 1); \
	CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.release=$$version" -o sockcap ./cmd/sockcap

# install: binary, manual page, completions; under PREFIX (/usr/local), in DESTDIR
PREFIX ?= /usr/local
share = $(DESTDIR)$(PREFIX)/share
install: sockcap
	install -D -m 755 sockcap '$(DESTDIR)$(PREFIX)/bin/sockcap'
	install -D -m 644 cmd/sockcap/sockcap.8 '$(share)/man/man8/sockcap.8'
	mkdir -p '$(share)/bash-completion/completions' '$(share)/zsh/site-functions' '$(share)/fish/vendor_completions.d'
	./sockcap completion bash >'$(share)/bash-completion/completions/sockcap'
	./sockcap completion zsh >'$(share)/zsh/site-functions/_sockcap'
	./sockcap completion fish >'$(share)/fish/vendor_completions.d/sockcap.fish'

# Not built again by root, who has no Go.
sockcap:
	$(MAKE) build

# packages: deb, rpm, apk, archlinux in dist/: make packages version=1.2.0
packages:
	cmd/sockcap/package/packages $(version)

# demo: a server on a Unix socket, captured, shown by sockcap and by tshark
demo: build
	.ci/install demo
	./cmd/sockcap/demo/run

# demo-hosts: three hosts to a stream of three servers, of which one is killed
demo-hosts: build
	go build -o $(or $(TMPDIR),/tmp)/sockcap-demo-hosts ./cmd/sockcap/demo/hosts
	$(if $(filter 0,$(shell id -u)),,sudo) $(or $(TMPDIR),/tmp)/sockcap-demo-hosts -sockcap ./sockcap

# record: testdata/capture anew, from real programs that it installs (Debian 12)
record: build
	.ci/install record
	testdata/capture/record

# generate: the objects of bpf/, from their source
generate:
	.ci/install build
	go generate ./bpf

# format: lays out Go and C as lint wants them
format:
	.ci/install test
	gofmt -w $$(git ls-files --cached --others --exclude-standard '*.go')
	clang-format-19 -i bpf/*.c bpf/*.h

# lint: gofmt, vet, staticcheck, clang-format, mandoc, luacheck, shellcheck
lint:
	.ci/install test
	.ci/lint

# test: all that CI asks; installs what it lacks, needs root
test:
	$(MAKE) test-generated
	$(MAKE) lint
	$(MAKE) test-host
	$(MAKE) test-image
	$(MAKE) test-wireshark
	$(MAKE) test-packages
	$(MAKE) test-vm
	$(MAKE) fuzz-short

# test-generated: the committed objects are what their source gives
test-generated:
	.ci/install build
	.ci/generated

# test-host: all Go tests, on this kernel
# Those that want an sshd in CI alone: Debian starts it where it is installed.
test-host:
	.ci/install test $(if $(CI),ssh)
	go test -count=1 -p 1 -timeout 30m $(as_root) ./...

# image: the container image, sockcap, with podman, buildah or docker: make image image_flags='-e docker arm64'
image:
	cmd/sockcap/package/image/build $(image_flags)

# test-image: the container image, built and run, and the Kubernetes manifests
test-image: build
	.ci/install image
	$(if $(filter 0,$(shell id -u)),,sudo -E) cmd/sockcap/package/image/check
	cd cmd/sockcap/package/kubernetes && go test -count=1 ./...

# test-wireshark: the dissector in other versions; in one: make test-wireshark-sid
test-wireshark:
	$(MAKE) $(tsharks:%=test-wireshark-%)

test-wireshark-%:
	.ci/install test root
	root=$$(wireshark/testdata/root $*) && TSHARK_ROOT=$$root \
		go test -count=1 -timeout 30m $(as_root) ./wireshark

# test-packages: the packages are what they should be
# Built twice, installed, run and removed in root directories of their own.
test-packages:
	.ci/install root packages
	cmd/sockcap/package/packages-check

# test-vm: the live tests on other kernels; on one: make test-vm-amd64-6.1
test-vm: test-harness
	testdata/vm/kernels
	$(MAKE) -j 2 --output-sync=target $(vms:%=test-vm-%)

# test-harness: testdata/vm/run itself
test-harness:
	.ci/install vm
	testdata/vm/check

test-vm-%: arch = $(firstword $(subst -, ,$*))
test-vm-%: kernel = $(lastword $(subst -, ,$*))
test-vm-%: hooks = $(if $(filter arm64-6.1,$*),,fentry,)kprobe,tracepoint
test-vm-%: vm = '$(CURDIR)/testdata/vm/run' -a $(arch) -k $(kernel) -t 1900
test-vm-%: in_vm = CGO_ENABLED=0 GOARCH=$(arch) go test -count=1 -p 1 -timeout 30m
test-vm-%:
	.ci/install vm
	testdata/vm/kernels $*
	$(in_vm) -run '^Test($(vm_tests))$$' -exec "$(vm)" ./bpf
	set -f; for test in $(filter-out Layout,$(subst |, ,$(vm_tests))); do \
		$(in_vm) -run "^Test($$test)\$$" -exec "$(vm) -e SOCKCAP_HOOKS=$(hooks)" ./capture || exit; \
	done
	set -f; for test in $(if $(filter $(ends),$*),$(subst |, ,$(end_tests))); do \
		$(in_vm) -run "^Test($$test)\$$" -exec "$(vm) -e SOCKCAP_HOOKS=$(end_hooks)" ./capture || exit; \
	done

# soak: sockcap under load with faults at random, 5 minutes: make soak soak_flags='-time 1h'
soak_binary := $(or $(TMPDIR),/tmp)/sockcap-soak
soak: build
	go build -o $(soak_binary) ./capture/internal/soak
	$(if $(filter 0,$(shell id -u)),,sudo) $(soak_binary) -sockcap ./sockcap $(soak_flags)

# profile: cmd/sockcap/default.pgo, by which Go compiles sockcap, from benchmarks
profile:
	.ci/profile

bench_binary := $(or $(TMPDIR),/tmp)/sockcap-bench

pgo := $(CURDIR)/cmd/sockcap/default.pgo

# bench: what a capture costs the traced program, a packet sockcap, a record tshark
bench: build
	.ci/install bench root
	go build -o $(bench_binary) ./cmd/sockcap/bench
	$(if $(filter 0,$(shell id -u)),,sudo) $(bench_binary) -sockcap ./sockcap $(bench_flags)
	go test -pgo $(pgo) -run '^$$' -bench . -benchtime 5x $(as_root) ./capture
	go test -pgo $(pgo) -run '^$$' -bench . ./pcapng ./cmd/sockcap
	for suite in bookworm trixie sid; do \
		TSHARK_ROOT=$$(wireshark/testdata/root $$suite) go test -run '^$$' \
			-bench . -benchtime 3x -timeout 1h $(as_root) ./wireshark || exit; \
	done

# fuzz-short: every fuzz target for five seconds
fuzz-short:
	.ci/fuzz 5s

fuzz_time := 10m

# fuzz: every fuzz target for a while: make fuzz fuzz_time=1h
fuzz:
	.ci/fuzz $(fuzz_time)

.PHONY: help build install packages image demo demo-hosts record generate format lint test test-generated \
	test-host test-image test-wireshark test-packages test-vm test-harness profile bench soak fuzz fuzz-short
