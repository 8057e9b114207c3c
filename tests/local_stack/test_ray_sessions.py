"""What earlier Ray heads of a home leave behind."""

from pathlib import Path

from deployments.local_stack.ray_head import forget_sessions


def test_of_many_sessions_the_newest_stay_with_the_link_to_them(tmp_path: Path) -> None:
    names = [f"session_2026-01-{day:02}_10-00-00_000001_77" for day in range(1, 8)]
    for name in reversed(names):
        (tmp_path / name / "logs").mkdir(parents=True)
        (tmp_path / name / "logs" / "raylet.out").write_text("started")
    (tmp_path / "session_latest").symlink_to(names[-1])
    (tmp_path / "prom_metrics_service_discovery.json").write_text("[]")

    forget_sessions(tmp_path, kept=3)

    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["prom_metrics_service_discovery.json", *names[-3:], "session_latest"]
    assert (tmp_path / "session_latest" / "logs" / "raylet.out").read_text() == "started"


def test_a_home_that_never_ran_has_nothing_to_forget(tmp_path: Path) -> None:
    forget_sessions(tmp_path / "ray")

    assert list(tmp_path.iterdir()) == []
