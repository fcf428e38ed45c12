"""The screens of a job: progress, result, and how it ended without one."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from unit.report.conftest import make_map, make_predictions, make_results
from unit.report.run.test_candidates import predicted, toy_answer
from unit.web.conftest import AppClient, open_client
from unit.web.test_jobs import make_job
from xtalshift.jsonio import write_json
from xtalshift.report import build_run_report, write_report
from xtalshift.report.run.candidates import report_candidates
from xtalshift.report.run.digest import _candidates, digest_run
from xtalshift.web.job_kinds import RESUMED
from xtalshift.web.job_store import OUTCOME, RESULT, JobStore

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def run_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store with a comparison that is done, whose formulas have markup."""
    store = tmp_path_factory.mktemp("store")
    jobs = JobStore(store, resumes=RESUMED)
    folder = jobs.prepare("run")
    asked = {"table": "ricci_seebeck", "target": "y", "settings": {"methods": ["erm"]}}
    jobs.submit(folder, "", asked, {}, 10)
    jobs.take()
    result = folder / RESULT
    (result / "results.json").write_text(json.dumps(make_results()))
    make_predictions().to_parquet(result / "predictions.parquet")
    make_map().to_parquet(result / "map.parquet")
    report = build_run_report(result)
    write_report(result, report)
    write_json(result / "digest.json", digest_run(report))
    write_json(folder / OUTCOME, {"result": {}})
    jobs.close()
    return store


def job_of(client: AppClient) -> str:
    (job,) = client.get("/api/v1/jobs").json()
    return job["id"]


def test_the_answers_of_a_comparison_are_read(models, run_store):
    with open_client(models, run_store) as client:
        id_ = job_of(client)
        found = client.get(f"/jobs/{id_}")
        assert (found.status_code, EVIL in found.text) == (200, False)
        for words in (
            "Use erm",
            "Materials like those of the table",
            "5.00",  # the mean of 4 and 6
            "A constant: 10.0",
            "50\u00a0% better",
            "Not better: do not use it here",
            "Before you rely on these numbers",
            f"/api/v1/jobs/{id_}/files/report.html",
            f"/tables/ricci_seebeck/new?job={id_}",
        ):
            assert words in found.text, words
        german = client.get(f"/jobs/{id_}", headers={"Accept-Language": "de"}).text
        assert "5,00" in german
        assert "A constant: 10,0" in german
        assert client.get(f"/tables/ricci_seebeck/new?job={id_}").status_code == 200


def test_each_figure_has_its_data(models, run_store):
    with open_client(models, run_store) as client:
        id_ = job_of(client)
        digest = client.get(f"/api/v1/jobs/{id_}/files/digest.json").json()
        assert len(digest["figures"]) >= 3
        for one in digest["figures"]:
            found = client.get(f"/api/v1/jobs/{id_}/figures/{one['id']}")
            assert (found.status_code, len(found.text.splitlines()) > 1) == (200, True), one["id"]
            assert found.headers["content-type"].startswith("text/csv")
        bars = client.get(f"/api/v1/jobs/{id_}/figures/figure-bars-1").text.splitlines()
        assert bars[0] == "MAE / that of the constant,y"
        assert "0.5,erm" in bars
        missing = client.get(f"/api/v1/jobs/{id_}/figures/figure-bars-9")
        assert (missing.status_code, "did you mean" in missing.text) == (404, True)


def test_progress_is_watched_and_can_be_cancelled(models, tmp_path):
    id_ = make_job(tmp_path, "run", "waiting")
    second = make_job(tmp_path, "train", "waiting")
    with open_client(models, tmp_path, workers=1) as client:
        found = client.get(f"/jobs/{second}")
        assert f'data-events="/api/v1/jobs/{second}/events"' in found.text
        assert 'role="log"' in found.text
        for one in (second, id_):
            client.post(f"/jobs/{one}/cancel")
            again = client.post(f"/jobs/{one}/cancel")  # twice is once
            assert again.headers["location"] == f"/jobs/{one}"


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ({"problem": {"detail": f"row 3: {EVIL}", "row": 3, "value": EVIL, "remedy": "mend it"}},
         ["It did not work", "mend it", "&lt;script&gt;"]),
        ({"result": {"n_train": 54, "n_validation": 6, "val_mae": 0.125, "val_mae_dummy": 1.5}},
         ["0.125", "A constant is wrong by 1.50", "were not measured"]),
        ({"result": {}}, ["done"]),
    ],
)  # fmt: skip
def test_how_a_job_ended_is_told(models, tmp_path, outcome, said):
    id_ = make_job(tmp_path, "train", "running", outcome)
    with open_client(models, tmp_path) as client:
        text = client.get(f"/jobs/{id_}").text
        assert EVIL not in text
        for words in said:
            assert words in text
        gone = client.post(f"/jobs/{id_}/delete")
        assert (gone.status_code, gone.headers["location"]) == (303, "/#jobs")
        assert client.get(f"/jobs/{id_}").status_code == 404


def test_what_was_interrupted_says_so(models, tmp_path):
    id_ = make_job(tmp_path, "adapt", "running")
    with open_client(models, tmp_path) as client:
        text = client.get(f"/jobs/{id_}").text
        assert "It was interrupted" in text
        assert "submit it again" in text


def rewritten(store: Path, **parts: object) -> None:
    """Replace parts of the answers of the comparison in a store."""
    (path,) = store.glob(f"jobs/run-*/{RESULT}/digest.json")
    write_json(path, json.loads(path.read_text()) | parts)


def test_candidates_are_judged_first(models, run_store, tmp_path):
    shutil.copytree(run_store, tmp_path / "store")
    answer = replace(toy_answer(), crystals=())
    candidates = _candidates(report_candidates(answer, predicted(30), "eV"))
    rewritten(tmp_path / "store", candidates=candidates)
    with open_client(models, tmp_path / "store") as client:
        text = client.get(f"/jobs/{job_of(client)}").text
        assert text.index("Your new materials") < text.index("The error, by kind of material")
        assert candidates["rows"][0]["name"] in text
        assert "The largest predictions of" in text


def test_classes_have_their_own_cards(models, run_store, tmp_path):
    shutil.copytree(run_store, tmp_path / "store")
    row = {
        "label": "random split", "role": "id", "n": 1200, "log_loss": 0.25, "over_constant": 0.4,
        "accuracy": 0.875, "balanced_accuracy": 0.8, "coverage": 0.8, "set_size": 1.5,
        "calibration_error": 0.03,
    }  # fmt: skip
    classes = {"method": "ridge", "names": [EVIL, "b"], "sentences": [EVIL], "rows": [row]}
    rewritten(tmp_path / "store", classes=classes, expected=None)
    with open_client(models, tmp_path / "store") as client:
        text = client.get(f"/jobs/{job_of(client)}").text
        assert EVIL not in text
        for words in ("88\u00a0%", "1,200 materials tested", "60\u00a0% below"):
            assert words in text, words
