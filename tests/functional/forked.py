"""`dibao`, imported once and forked for every command: a process each, without its first seconds.

Run as a program it reads a command a line, a JSON list of words, and answers with a line each:
exit code, standard output, standard error.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from typing import IO

from tests.functional.house import ROOT, House


@dataclass
class Forked(House):
    """An installation whose commands cost a fork each."""

    stem: "subprocess.Popen[str] | None" = field(default=None, repr=False)

    def dibao(self, *words: str, expect: int = 0) -> str:
        if self.stem is None:
            self.stem = subprocess.Popen(
                [sys.executable, "-m", "tests.functional.forked"],
                cwd=ROOT,
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        assert self.stem.stdin is not None
        assert self.stem.stdout is not None
        print(json.dumps(words), file=self.stem.stdin, flush=True)
        code, out, err = json.loads(self.stem.stdout.readline())
        assert code == expect, f"{words}: {code}\n{out}\n{err}"
        assert "Traceback" not in err, err
        return str(out if expect == 0 else err)

    def close(self) -> None:
        """End it; no command runs any more."""
        if self.stem is not None:
            self.stem.communicate()


def _forked(words: list[str], out: IO[bytes], err: IO[bytes]) -> int:
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    sys.argv = ["dibao", *words]
    code = 1
    try:
        main()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 0
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    from mailer.cli import main

    for line in sys.stdin:
        with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as wrong:
            status = _forked(json.loads(line), said, wrong)
            texts = []
            for file in (said, wrong):
                file.seek(0)
                texts.append(file.read().decode())
        sys.stdout.write(json.dumps([status, *texts]) + "\n")
        sys.stdout.flush()
