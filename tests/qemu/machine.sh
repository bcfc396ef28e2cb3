# SPDX-License-Identifier: BSD-3-Clause
# Copyright (C) 2026 The libvhost authors
# shellcheck shell=sh
#
# Read by scripts that start back-ends and QEMU machines with a guest of Debian's kernel,
# which runs commands of the script. All files are in the current directory; a machine
# has a name, and its files begin with it. srcdir is the source tree, CC a compiler.

machine_kernel=6.1
machine_pids=			# all that was started and has not ended

# machine_image: make guest.cpio; leave the reason in machine_why if it cannot be had.
machine_image()
{
	machine_why=
	[ "$(uname -m)" = x86_64 ] || machine_why="the test guest is for x86_64"
	command -v qemu-system-x86_64 >/dev/null ||
		machine_why="qemu-system-x86_64 is not installed (Debian: qemu-system-x86)"
	[ -z "$machine_why" ] || return 1
	if ! sh "${srcdir:?}/tests/vm/build-image" $machine_kernel >image.log 2>&1; then
		machine_why=$(tail -n 1 image.log)
		return 1
	fi
	machine_cache=${VHOST_VM_CACHE:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/libvhost-vm}
	machine_cache=$machine_cache/$machine_kernel
	mkdir -p root/bin
	if ! ${CC:-cc} -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -static -pthread \
		-o root/bin/guest "$srcdir/tests/qemu/guest.c" >guest.log 2>&1; then
		machine_why="a static program for the guest cannot be built (see guest.log)"
		tail -n 5 guest.log
		return 1
	fi
	cp "$srcdir/tests/qemu/init" root/init
	chmod 755 root/init
	(cd root && find . | cpio --quiet -o -H newc -R 0:0) | cat "$machine_cache/base" - >guest.cpio
}

# started PID: it is to be ended with the script.
started()
{
	machine_pids="$machine_pids $1"
}

# ended PID: it has.
ended()
{
	list=
	for pid in $machine_pids; do
		[ "$pid" = "$1" ] || list="$list $pid"
	done
	machine_pids=$list
}

# alive PID: and no zombie, which kill would still find
alive()
{
	[ -e "/proc/$1/exe" ]
}

# end SIGNAL PID: and wait for it; after ten seconds it is killed.
end()
{
	kill "-$1" "$2" 2>/dev/null || :
	tries=0
	while alive "$2" && [ $tries -lt 100 ]; do
		sleep 0.1
		tries=$((tries + 1))
	done
	[ $tries -lt 100 ] || kill -KILL "$2" 2>/dev/null || :
	wait "$2" 2>/dev/null || :
	ended "$2"
}

end_all()
{
	for pid in $machine_pids; do
		kill -KILL "$pid" 2>/dev/null || :
		wait "$pid" 2>/dev/null || :
	done
	machine_pids=
}

# backend NAME COMMAND...: start what serves NAME.sock; its pid is in backend_pid.
backend()
{
	backend_name=$1
	shift
	"$@" >>"$backend_name.log" 2>&1 </dev/null &
	backend_pid=$!
	started $backend_pid
}

# listening NAME PID: wait until it is
listening()
{
	tries=0
	until [ -S "$1.sock" ] && grep -qs " $PWD/$1.sock\$\| $1.sock\$" /proc/net/unix; do
		if ! alive "$2" || [ $((tries += 1)) -gt 100 ]; then
			echo "nobody listens on $1.sock:"
			tail -n 5 "$1.log"
			return 1
		fi
		sleep 0.05
	done
}

# machine NAME OPTION...: start one; it is the one that guest and qmp talk to.
machine()
{
	machine=$1
	shift
	rm -f "$machine".*
	for file in "$machine.port.in" "$machine.port.out" "$machine.qmp.in" "$machine.qmp.out"; do
		mkfifo "$file"
	done
	for file in port qmp; do
		cat "$machine.$file.out" >"$machine.$file" &
		started $!
	done
	# The dirty pages of memory of a memfd are shared with the back-ends.
	qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot \
		-accel "${VHOST_VM_ACCEL:-tcg,thread=multi}" -cpu max,la57=off -smp 2 \
		-m 256M,slots=2,maxmem=1G \
		-object memory-backend-memfd,id=ram,size=256M,share=on \
		-kernel "$machine_cache/vmlinuz" -initrd guest.cpio \
		-append "console=ttyS0 loglevel=5 panic=-1 oops=panic mitigations=off nokaslr \
			tsc=nowatchdog memhp_default_state=online ${machine_append-}" \
		-serial "file:$machine.console" \
		-chardev "pipe,id=port,path=$machine.port" -serial chardev:port \
		-chardev "pipe,id=qmp,path=$machine.qmp" -mon chardev=qmp,mode=control \
		"$@" >"$machine.log" 2>&1 </dev/null &
	machine_pid=$!
	started $machine_pid
	machine_id=0
	qmp '"execute": "qmp_capabilities"'
}

# use NAME PID: of two machines, talk to this one.
use()
{
	machine=$1
	machine_pid=$2
}

# await SECONDS PATTERN FILE: until a line of it matches
await()
{
	tries=0
	until grep -q -e "$2" "$3" 2>/dev/null; do
		if [ $((tries += 1)) -gt $(($1 * 10)) ] || ! alive "$machine_pid"; then
			return 1
		fi
		sleep 0.1
	done
}

# tell FILE LINE: to a machine that may have gone, without waiting for it.
tell()
{
	tries=0
	until printf '%s\n' "$2" | dd of="$1" oflag=nonblock conv=notrunc,nocreat status=none 2>/dev/null; do
		[ $((tries += 1)) -lt 50 ] || return 1
		sleep 0.1
	done
}

# qmp MEMBERS: a command; the reply is in qmp.reply, and it fails if that is an error.
qmp()
{
	machine_id=$((machine_id + 1))
	tell "$machine.qmp.in" "{ $1, \"id\": $machine_id }" || return
	await 20 "\"id\": ${machine_id}[,}]" "$machine.qmp" || {
		echo "no reply to $1"
		return 1
	}
	grep "\"id\": ${machine_id}[,}]" "$machine.qmp" >qmp.reply
	! grep '"error"' qmp.reply
}

# hmp COMMAND: for a person; what it prints is in qmp.reply.
hmp()
{
	qmp '"execute": "human-monitor-command", "arguments": { "command-line": "'"$1"'" }' || return
	! grep -i '"return": "Error' qmp.reply
}

# guest SECONDS COMMAND: run it in the guest, with its exit status; what it prints is in
# guest.out. Line breaks in it become blanks.
guest()
{
	machine_id=$((machine_id + 1))
	tell "$machine.port.in" "$machine_id $(printf %s "$2" | tr '\n\t' '  ')" || return
	await "$1" "^== $machine_id " "$machine.port" || {
		echo "no answer within $1 s to: $2"
		return 1
	}
	awk -v id="$machine_id" '
		/^== / { if ($2 == id) exit; text = ""; next }
		{ text = text $0 "\n" }
		END { printf "%s", text }' "$machine.port" >guest.out
	guest_status=$(awk -v id="$machine_id" '/^== / && $2 == id { print $3 }' "$machine.port")
	[ "$guest_status" = 0 ] || {
		echo "in the guest, exit status $guest_status: $2"
		tail -n 10 guest.out
		return 1
	}
}

# up SECONDS: until the guest takes commands
up()
{
	await "$1" '^== ready' "$machine.port" || {
		echo "the guest does not come up; QEMU, and the end of its console:"
		tail -n 5 "$machine.log"
		tail -n 20 "$machine.console"
		return 1
	}
}

# down: switch it off, and look at what its kernel said
down()
{
	tell "$machine.port.in" "off sync; poweroff -f" || :
	tries=0
	while alive "$machine_pid" && [ $tries -lt 150 ]; do
		sleep 0.1
		tries=$((tries + 1))
	done
	gone=0
	[ $tries -lt 150 ] || {
		echo "the guest does not switch itself off"
		gone=1
	}
	end KILL "$machine_pid"
	[ $gone -eq 0 ] && ! grep -aE 'WARNING:|BUG:|Oops|Call Trace|I/O error|EXT4-fs error|INFO: task|INFO: rcu|Kernel panic' \
		"$machine.console"
}
