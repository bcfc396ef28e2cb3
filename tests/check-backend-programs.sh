#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
#
# vhost-user-blk, -net and -rng keep to the conventions for back-end programs: options,
# capabilities, descriptions for management software, sockets, signals, exit codes.

# shellcheck source=tests/common.sh
. "${srcdir:-$(dirname "$0")/..}/tests/common.sh"

programs="blk net rng"
for p in $programs; do
	[ -x "$builddir/tools/vhost-user-$p" ] || skip "vhost-user-$p was not built"
done
need timeout sed sort comm

make_scratch
trap 'end_server; rm -rf "$scratch"' EXIT
cd "$scratch"
unset LIBVHOST_LOG LIBVHOST_TRACE 2>/dev/null || :

# prog STATUS NAME ARGUMENT...: run it; what it says is in out and err.
prog()
{
	want=$1
	name=$2
	shift 2
	status=0
	timeout 20 "$builddir/tools/vhost-user-$name" "$@" >out 2>err </dev/null || status=$?
	if [ "$status" -ne "$want" ]; then
		cat err
		wrong "vhost-user-$name $*: exit status $status, not $want"
	fi
	if [ "$want" -ne 0 ] && ! grep -q "^vhost-user-$name: " err; then
		cat err
		wrong "vhost-user-$name $*: no sentence says why it failed"
	fi
}

# says FILE PATTERN
says()
{
	grep -Eq -e "$2" "$1" && return
	cat "$1"
	wrong "\"$2\" is not in $1"
}

# start NAME ARGUMENT...: in the background, until its socket is there.
start()
{
	name=$1
	shift
	"$builddir/tools/vhost-user-$name" --socket-path=s.sock "$@" >log 2>&1 </dev/null &
	server=$!
	tries=0
	while [ ! -S s.sock ]; do
		kill -0 "$server" 2>/dev/null || { cat log; die "vhost-user-$name ended"; }
		[ "$tries" -lt 200 ] || die "vhost-user-$name made no socket within 20 seconds"
		sleep 0.1
		tries=$((tries + 1))
	done
}

# ends STATUS: it does so by itself.
ends()
{
	tries=0
	while kill -0 "$server" 2>/dev/null; do
		if [ "$tries" -ge 100 ]; then
			wrong "the program did not end within 10 seconds"
			end_server
			return
		fi
		sleep 0.1
		tries=$((tries + 1))
	done
	status=0
	wait "$server" || status=$?
	[ "$status" -eq "$1" ] || { cat log; wrong "exit status $status, not $1"; }
	server=
}

# What makes a device of each.
args()
{
	case $1 in
	blk) echo --blk-file=null:1M ;;
	net) echo --loopback ;;
	esac
}

# --- command line

for p in $programs; do
	prog 0 "$p" --help
	says out "^usage: vhost-user-$p --socket-path=PATH \| --fd=N"
	prog 0 "$p" --version
	says out "^vhost-user-$p [0-9.]+ \(libvhost [0-9.]+\)\$"
	prog 2 "$p"
	says err "^Try: vhost-user-$p --help\$"
	# shellcheck disable=SC2046 # one word or none
	prog 2 "$p" $(args "$p")
	says err '--socket-path or --fd is needed'
	# shellcheck disable=SC2046
	prog 2 "$p" $(args "$p") --socket-path=s.sock --fd=3
	prog 2 "$p" --socket-path=
	prog 2 "$p" --fd=x
	prog 2 "$p" --fd=-1
	# shellcheck disable=SC2046
	prog 2 "$p" $(args "$p") --socket-path=s.sock something
	says err 'something'
	# shellcheck disable=SC2046
	prog 1 "$p" $(args "$p") --fd=99
	# shellcheck disable=SC2046
	prog 1 "$p" $(args "$p") --fd=0
	# shellcheck disable=SC2046
	prog 1 "$p" $(args "$p") --socket-path=nowhere/s.sock
	says err 'nowhere/s.sock'
	status=0
	timeout 20 "$builddir/tools/vhost-user-$p" --nonsense >out 2>err || status=$?
	[ "$status" -eq 2 ] || wrong "vhost-user-$p takes --nonsense: exit status $status"
	status=0
	"$builddir/tools/vhost-user-$p" --print-capabilities >&- 2>err || status=$?
	[ "$status" -eq 1 ] || wrong "vhost-user-$p: exit status $status with a closed standard output"
	# Each option that --help has is in the man page, and the other way round.
	"$builddir/tools/vhost-user-$p" --help | grep -o -e '--[a-z-]*' | sort -u >options
	sed -n 's/^\.It Fl -\([a-z-]*\).*/--\1/p' "$srcdir/man/vhost-user-$p.1" | sort -u >documented
	comm -3 options documented >different
	[ ! -s different ] || wrong "--help and the man page of vhost-user-$p differ: $(cat different)"
done

: >file
prog 2 blk --socket-path=s.sock
says err '--blk-file is needed'
prog 1 blk --socket-path=s.sock --blk-file=nothing
says err 'nothing: No such file'
prog 1 blk --socket-path=s.sock --blk-file=.
prog 1 blk --socket-path=s.sock --blk-file=/dev/null
says err 'neither a file nor a block device'
prog 1 blk --socket-path=s.sock --blk-file=null:
prog 1 blk --socket-path=s.sock --blk-file=null:1X
prog 2 blk --socket-path=s.sock --blk-file=file --num-queues=0
prog 2 blk --socket-path=s.sock --blk-file=file --num-queues=257
prog 2 blk --socket-path=s.sock --blk-file=file --block-size=1000
prog 2 blk --socket-path=s.sock --blk-file=file --block-size=8192
prog 2 blk --socket-path=s.sock --blk-file=file --serial=123456789012345678901
prog 2 blk --socket-path=s.sock --blk-file=file --poll-us=-1
prog 2 net --socket-path=s.sock
says err '--tap or --loopback is needed'
prog 2 net --socket-path=s.sock --tap=a --loopback
prog 2 net --socket-path=s.sock --loopback --queue-pairs=128
prog 2 net --socket-path=s.sock --loopback --mtu=67
prog 2 net --socket-path=s.sock --loopback --mac=01:00:00:00:00:01
prog 2 net --socket-path=s.sock --loopback --mac=02:00:00:00:00
prog 1 net --socket-path=s.sock --tap=an-interface-with-a-long-name
[ ! -e s.sock ] || wrong "a program that did not start left a socket"

# --- capabilities and descriptions

for p in $programs; do
	prog 0 "$p" --nonsense --print-capabilities --fd=x more
	cp out capabilities
	if command -v python3 >/dev/null; then
		python3 - "$p" capabilities "$builddir/tools/50-libvhost-$p.json" <<'END' ||
import json, os, sys
kind = {"blk": "block"}.get(sys.argv[1], sys.argv[1])
have = json.load(open(sys.argv[2]))
assert set(have) == {"type", "features"} and have["type"] == kind, have
assert have["features"] == (["read-only", "blk-file"] if kind == "block" else []), have
told = json.load(open(sys.argv[3]))
assert set(told) == {"description", "type", "binary", "tags"} and told["type"] == kind, told
assert os.path.isabs(told["binary"]), told
assert os.path.basename(told["binary"]) == "vhost-user-" + sys.argv[1], told
END
			wrong "what vhost-user-$p tells management software is not as it should be"
	fi
done

if [ -x "$builddir/tools/vhostctl" ]; then
	mkdir -p host/usr/share/qemu/vhost-user host/proc/sys/kernel host/dev
	cp "$builddir"/tools/50-libvhost-*.json host/usr/share/qemu/vhost-user
	timeout 20 "$builddir/tools/vhostctl" list --root host >out 2>err || wrong "vhostctl list fails"
	[ "$(grep -c '50-libvhost-[a-z]*\.json$' out)" -eq 3 ] || wrong "vhostctl list shows other files"
	if grep problem out | grep -qv 'the program cannot be run'; then
		cat out
		wrong "vhostctl list finds fault with the descriptions"
	fi
fi

# --- sockets and signals

for p in $programs; do
	for sig in TERM INT; do
		# shellcheck disable=SC2046
		start "$p" $(args "$p")
		kill -"$sig" "$server"
		ends 0
		[ ! -e s.sock ] || wrong "vhost-user-$p leaves its socket at SIG$sig"
		[ ! -s log ] || { cat log; wrong "vhost-user-$p has something to say at SIG$sig"; }
	done
done

start rng
prog 1 rng --socket-path=s.sock
says err 's\.sock'
kill -0 "$server" || wrong "the first of two programs on one socket ended"
if [ -x "$builddir/tools/vhostctl" ]; then
	for _ in 1 2 3; do
		timeout 20 "$builddir/tools/vhostctl" probe unix:s.sock --device-type rng >out 2>err ||
			{ cat err; wrong "vhost-user-rng cannot be probed"; }
	done
	says out 'VERSION_1'
fi
kill -KILL "$server"
wait "$server" 2>/dev/null || :
server=
[ -S s.sock ] || wrong "a killed program left no socket; the next test is worth nothing"
ln s.sock was
start rng
tries=0
while [ -n "$(find s.sock -samefile was)" ]; do
	[ "$tries" -lt 100 ] || { wrong "a socket that nobody listens on was not replaced"; break; }
	sleep 0.1
	tries=$((tries + 1))
done
kill -TERM "$server"
ends 0
rm -f was s.sock
echo precious >s.sock
prog 1 rng --socket-path=s.sock
[ "$(cat s.sock)" = precious ] || wrong "a file that is no socket was removed"
rm s.sock

# --- a socket that is handed over

if command -v python3 >/dev/null; then
	for p in $programs; do
		# shellcheck disable=SC2046
		timeout 60 python3 - "$builddir/tools/vhost-user-$p" $(args "$p") <<'END' ||
import signal, socket, subprocess, sys, time

def run(sock):
	return subprocess.Popen(sys.argv[1:] + ["--fd=%d" % sock.fileno()], pass_fds=[sock.fileno()])

def answers(sock):
	sock.settimeout(20)
	sock.sendall(bytes([1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]))	# GET_FEATURES
	got = sock.recv(64)
	assert len(got) == 20 and got[:12] == bytes([1, 0, 0, 0, 5, 0, 0, 0, 8, 0, 0, 0]), got

# A connected one: served until the front-end goes.
ours, its = socket.socketpair()
child = run(its)
its.close()
answers(ours)
ours.close()
assert child.wait(20) == 0, child.returncode

# Until a signal
ours, its = socket.socketpair()
child = run(its)
its.close()
answers(ours)
child.send_signal(signal.SIGTERM)
assert child.wait(20) == 0, child.returncode
assert ours.recv(1) == b"", "the connection is still there"

# A listening one: its first front-end is served.
server = socket.socket(socket.AF_UNIX)
server.bind("listening.sock")
server.listen()
child = run(server)
time.sleep(0.1)
assert child.poll() is None
front = socket.socket(socket.AF_UNIX)
front.connect("listening.sock")
answers(front)
front.close()
assert child.wait(20) == 0, child.returncode

# And a signal ends it before there is one.
child = run(server)
time.sleep(0.3)
child.send_signal(signal.SIGTERM)
assert child.wait(20) == 0, child.returncode
END
			wrong "vhost-user-$p --fd is not as it should be"
		rm -f listening.sock
	done
else
	echo "note: --fd is not tested: python3 is not installed"
fi

# --- bash completion

if command -v bash >/dev/null; then
	bash -c '
		compopt() { :; }
		. "$1"
		complete_() {
			COMP_WORDS=($1) COMP_CWORD=1 COMP_LINE=$1 COMP_POINT=${#1}
			_vhost_user
			echo "${COMPREPLY[*]}"
		}
		COMP_WORDBREAKS="= "
		complete_ "vhost-user-blk --blk"
		complete_ "vhost-user-net --lo"
		complete_ "vhost-user-rng --so"
		complete_ "vhost-user-blk --block-size=5"
		COMP_WORDBREAKS=" "
		complete_ "vhost-user-blk --block-size=4"
	' bash "$srcdir/completions/vhost-user" >out 2>err || wrong "bash completion fails: $(cat err)"
	says out '^--blk-file=$'
	says out '^--loopback$'
	says out '^--socket-path=$'
	says out '^512$'
	says out '^--block-size=4096$'
fi
finish
