# Copyright (c) Lifeboat maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream import pipeline

LIMIT_MB = 160
PLAIN_MB = 3000

# Runs in a fresh interpreter, so that the peak is the stream's own. A sixth of the data is random, the rest compresses.
PROGRAM = """
import json, os, sys
path, target, size_mb = sys.argv[1:4]
sys.path.insert(0, path)
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.repository.directory import DirectoryStore
from ansible_collections.lifeboat.recovery.plugins.module_utils._engine.stream import pipeline
mebibyte = 1024 * 1024
rows = (b"a row of a table, number %d\\t" % 7) * (mebibyte // 20)
kinds = [rows[:mebibyte]] * 5 + [os.urandom(mebibyte)]

class Nothing:
    def write(self, chunk):
        pass

def chunks():
    for number in range(int(size_mb)):
        yield kinds[number % len(kinds)]

if target == "nothing":
    facts = pipeline.store_stream(chunks(), Nothing(), "zstd")
else:
    store = DirectoryStore(target)
    upload = store.upload("data/lab/1/dump.zst", 0)
    facts = pipeline.store_stream(chunks(), upload, "zstd")
    assert upload.finish().size == facts.stored_size
    stored = store.read("data/lab/1/dump.zst")
    assert sum(len(chunk) for chunk in pipeline.plain_stream(stored, facts)) == facts.plain_size
# Not ru_maxrss: that begins with the size of the process that made this one (getrusage(2)).
peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:")) // 1024
print(json.dumps({"peak_mb": peak, "plain_size": facts.plain_size, "stored_size": facts.stored_size}))
"""


def run(target: str, size_mb: int) -> dict[str, int]:
    root = str(pathlib.Path(pipeline.__file__).parents[7])
    argv = [sys.executable, "-c", PROGRAM, root, target, str(size_mb)]
    answer: dict[str, int] = json.loads(subprocess.run(argv, check=True, stdout=subprocess.PIPE).stdout)
    return answer


@pytest.mark.parametrize("target", ["nothing", "directory"])
def test_the_memory_of_a_stream_does_not_grow_with_its_size(target: str, tmp_path: pathlib.Path) -> None:
    facts = run("nothing" if target == "nothing" else str(tmp_path), PLAIN_MB if target == "nothing" else PLAIN_MB // 3)
    assert facts["plain_size"] >= 1000 * 1024 * 1024
    assert facts["stored_size"] > facts["plain_size"] // 7, "the sixth that is random cannot have been compressed"
    assert facts["peak_mb"] <= LIMIT_MB
