"""Starts the standalone system as a user does, as a process of its own, and stops or kills it."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

from tests.patience import PATIENT_ENVIRONMENT

ROOT = Path(__file__).parent.parent
START_TIMEOUT_S = 240.0
STOP_TIMEOUT_S = 60.0

_LEFT_OUT = ("OPENAI_", "ANTHROPIC_", "GROQ_", "PAGEWIRE_", "PYTHONDONTWRITEBYTECODE")
"""Of this process's environment: what would choose a provider or a setting, and what makes each start compile torch."""


class StandaloneProcess:
    """A running system on a free port; `url` is where it answers."""

    def __init__(self, data: Path, environment: Mapping[str, str] | None = None) -> None:
        self.data = data
        self._environment = environment or {}
        self.output: list[str] = []
        self.url = self._start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL, as by the kernel when memory runs out: nothing can be tidied up. Ended ones are left alone."""
        self._process.kill()
        self._finish()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """A signal, SIGTERM unless told; returns the exit status."""
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self._finish()

    def wait(self) -> int:
        """Returns the exit status of a system that ends by itself."""
        return self._finish()

    def _finish(self) -> int:
        status = self._process.wait(STOP_TIMEOUT_S)
        self._reader.join(STOP_TIMEOUT_S)
        if self._process.stdout is not None:
            self._process.stdout.close()
        return status

    def _start(self) -> str:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "services.standalone"],
            cwd=ROOT,
            env=make_environment(self.data, self._environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        ready = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(ready,), daemon=True)
        self._reader.start()
        if not ready.wait(START_TIMEOUT_S) or self._process.poll() is not None:
            self._process.kill()
            raise AssertionError("standalone did not start:\n" + "".join(self.output))
        line = next(line for line in self.output if "Pagewire is ready" in line)
        return line.split()[-1]

    def _read(self, ready: threading.Event) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.output.append(line)
            if "Pagewire is ready" in line:
                ready.set()
        ready.set()


def make_environment(data: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without any provider's keys, with settings for a patient system on a free port."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(_LEFT_OUT)}
    ours = {
        "PAGEWIRE_DATA_DIR": str(data),
        "PAGEWIRE_PORT": "0",
        "HF_HUB_OFFLINE": "1",
        "PYTHONUNBUFFERED": "1",
    }
    return clean | PATIENT_ENVIRONMENT | ours | dict(extra)
