"""Runs a program at a terminal of its own: terminal.py TYPED PROGRAM ARGUMENT…

TYPED is typed as soon as the program has turned the echo off. What the terminal shows is printed.
"""

import os
import pty
import select
import sys
import termios

typed, program = sys.argv[1], sys.argv[2:]
child, terminal = pty.fork()
if child == 0:
    os.execv(program[0], program)

shown, answered = b"", False
while True:
    if not answered and not termios.tcgetattr(terminal)[3] & termios.ECHO:
        os.write(terminal, typed.encode() + b"\n")
        answered = True
    if not select.select([terminal], [], [], 0.01)[0]:
        continue
    try:
        part = os.read(terminal, 4096)
    except OSError:  # Linux says so when the program has ended.
        break
    if not part:
        break
    shown += part
sys.stdout.buffer.write(shown.replace(b"\r\n", b"\n"))
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
