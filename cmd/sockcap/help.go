package main

// This is the wording of --help; messages.go has the rest. A test compares it
// with the flags there are, and with the manual page.

// seeHelp is where wrong usage points.
const seeHelp = "see sockcap --help"

const help = `Usage: sockcap [OPTION]... [EXPRESSION] [-- COMMAND [ARGUMENT]...]
       sockcap list|top|doctor|dissector|completion|version [--help]
Show who says what to whom over Unix domain sockets: now (as root), or in files.

Output
  -w FILE           write pcapng for Wireshark; - is standard output, and a name
                    that ends in .zst or .gz is compressed
  -r FILE           read FILE, or - for standard input; several merge by time
  -y TYPE, -L       link type for -w: USER0 to USER15; RAW: TCP and UDP, for
                    programs without our dissector; -L lists them
  --format FORMAT   print text, string, hex, hexstring, or json (so does --json:
                    an object a line); pcapng is -w
  --output FILE     print to FILE; --print: print, though there is -w
  -l, -U            flush each line, each packet, at once
Many hosts
  -w, -r nats://HOST/STREAM   publish a capture, as --host NAME; read those of
                    all hosts: live, or from --since 1h (a time, all), --until
                    now; tls:// encrypts, ?creds=FILE says who
Rotation and stop
  -C SIZE           next file, FILE1, after SIZE million bytes; or 7k, 7m, 7g
  -G SECONDS        next file after SECONDS; strftime(3) makes its name of FILE
  -W COUNT          with -C, begin again at the first of COUNT; with -G, end
  -z COMMAND        run COMMAND FILE on each file that is finished
  -c COUNT          end after COUNT packets with data
  -a CONDITION      end after duration:SECONDS, filesize:KB or packets:COUNT
Size
  -s BYTES          of each packet's payload, keep so much (0: all)
  -B KIB            kernel buffer
  --redact          keep headers and lengths, no payload
Printing
  -q, -v, -vv       less; all events; more of each
  -e, -#            uids, inodes, container; numbers, which are Wireshark's
  -A, -x, -X        payload as text, hexadecimal, both; -xx, -XX: whole records
  -t ... -ttttt     time: none, since 1970, since the line before, with date,
                    since the first line
  --micro, --nano, --utc    microseconds, nanoseconds, UTC
  --color WHEN      auto (on a terminal, unless NO_COLOR is set), always, never
Choosing
  EXPRESSION        /PATH @NAME (or all below a directory), comm GLOB, pid N,
                    uid NAME, stream, len > N ...; src, dst; and, or, not, ( )
  --path, --comm, --pid, --uid, --container, --cgroup    the same, with a value
  -Q in|out|inout   to the server, to the client, both
  --include-self    keep what sockcap writes, and who passes that on
  -F FILE, -d       read the expression from FILE; print what it tests, and stop
  -- COMMAND        run COMMAND, as -Z USER, and capture it and its descendants
Capture
  -D, -i HOOKS      list the sets of hooks and their limits here; take auto,
                    fentry, kprobe or tracepoint
  --senders MODE    auto; exact: name every sender, slower (-i tracepoint)
  --stats-interval TIME     tell how far it is each 10s, 5m, 0.5 (seconds)
Other
  -Z USER           the capture goes on as USER; root: with all rights
  -h, --help, -V, --version
  -K -N -O -S -n -p         are accepted, change nothing
sockcap list, top           sockets that there are now, or live
sockcap doctor              whether one can capture here, and what helps
sockcap dissector, completion    what to give to Wireshark, to your shell
Manual: man sockcap
`

const helpVersion = `Usage: sockcap version
Print the version.
`

const helpDissector = `Usage: sockcap dissector install [--system]
       sockcap dissector uninstall [--system] [--force]
       sockcap dissector print
Give Wireshark what it needs to read sockcap's files.

  install       put dissector, profile and extcap where your Wireshark looks;
                those of the user who called sudo
  uninstall     take them away again, but for what somebody has changed
  --system      for all users
  --force       also what somebody has changed, or is another version's
  print         write the dissector, a Lua script, to standard output
`

const helpCompletion = `Usage: sockcap completion bash|zsh|fish
Write a script by which the shell completes sockcap's command line: options,
their values, files, sockets of this machine, words of the filter.

  bash   source <(sockcap completion bash)
         or for good: in /usr/share/bash-completion/completions/sockcap;
         needs the package bash-completion
  zsh    source <(sockcap completion zsh), after compinit
         or for good: in a file _sockcap in a directory of $fpath
  fish   sockcap completion fish | source
         or for good: in ~/.config/fish/completions/sockcap.fish
`
