"""Work that one process does while others wait."""

from zeldo.store.queue import alone


def test_the_claims_of_processes_that_wait_stay(tmp_path):
    claims = tmp_path / "claims"
    with alone(claims):
        (claims / "another.0").mkdir()
    assert [path.name for path in claims.iterdir()] == ["another.0"]
    (claims / "another.0").rmdir()
    with alone(claims):
        pass
    assert not claims.exists()
