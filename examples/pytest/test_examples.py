"""Tests of scripts, with the plugin beside this file: `pytest examples/pytest`."""

from pathlib import Path

SCRIPTS = Path(__file__).parent.parent


def test_counts_words(gears):
    gears.set("text:1", "to be or not to be")
    assert gears.run(SCRIPTS / "word_count.py") == ["to 2", "be 2", "or 1", "not 1"]


def test_logs_what_happens_to_keys(gears):
    gears.run(SCRIPTS / "keyspace_log.py")
    gears.set("order:1", "tea", ex=3600)
    gears.fast_forward(3_600_000)
    gears.idle()
    events = [fields["event"] for _, fields in gears.xrange("log:events")]
    assert events == ["set", "expire", "expired"]


def test_starts_empty(gears):
    assert gears.dbsize() == 0
    assert gears.execute_command("RG.DUMPREGISTRATIONS") == []
