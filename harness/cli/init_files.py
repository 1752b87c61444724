"""The files that `waterbed init` writes, as text. Nothing here decides where they go (init.py)."""

POLICY = """\
# The policy of `waterbed gate`: what a candidate may lose, and how sure one must be.
# Every value below is the default; a line that starts with `# ` is an example.
# Margins, max_mde and mean_harm are points (3 is three of a hundred), all else are shares.

# harm: red on a proven loss. strict: green only where losses beyond the margins are excluded.
# release: like harm, and losses are excluded in `critical` domains and in the mean over domains.
name: harm

# What both sides must have; a suite named here cannot be left out. A side that is a checkpoint is
# evaluated on these. `waterbed list suites` shows what there is, `waterbed plan` what it can show.
# suites: [pocket]

# Points that a domain (or one metric of it) may lose. Defaults: instruction, math, code, tools 3
# (code 5 below 300 items), chat 5, safety 2 (safety/overrefusal 3), knowledge 2.
# margins: {math: 2, safety/unsafe: 1}

# Domains without whose evidence nothing is green. Default: the --target, and safety where it is run.
# require: [math, safety]

# Domains that `release` must see PASS.
# critical: [safety]

# The chance of PASS at a loss of a whole margin, and of any FAIL where nothing is lost.
alpha_pass: 0.05
alpha_fail: 0.05

# The mean loss over domains that may stay unseen, and the one that `release` and `strict` exclude.
max_mde: 3
mean_harm: 2

# The planned share of items that change. Default: as `waterbed noise RUN` measured it for the
# baseline, else a table's.
# discordance: {math: 0.08}

# A Run that is kept for good: no claim may fall 1.5 margins below it, however many steps led there.
# anchor: runs/release-1

# Which hard drift can fail the gate, where the baseline's noise is measured. Default: all of these,
# length only where a judge votes. With strict_drift what only warns (a tenth longer ...) fails too.
# drift: [truncated, loop, empty, unparsed, broken_json, wrong_script, length_by_half, length]
strict_drift: false

# benchmark: for fixed lists such as AIME, say only what the full run of these items says.
estimand: population

# What exit code 3 becomes: fail (1), warn (0, with a warning) or pass (0). Unset, it stays 3.
# inconclusive: warn

# Two sides that were not made the same way: refuse, or warn and compare them all the same.
on_difference: refuse

# The share of pairs that may lack a score before the data count as invalid (exit code 4), and the
# share of answers on either side that may be truncated, empty, unparsed or unscored.
max_dropped: 0.01
# validity: {truncated: 0.05, unparsed: 0.2}

# Let suites gate whose scorer was compared with no reference, such as your own.
allow_unverified: false

# Known losses that somebody answers for until a day. They are shown, and are no exit code 1.
# waivers:
#   - claim: code
#     owner: Mia
#     reason: new tokenizer, retraining is under way
#     expires: 2026-12-31
"""

GITHUB = """\
# Gates every pull request: red (1) is a proven loss, 3 is inconclusive, 4 is trouble with the data.
# To let 3 through with a warning, write `inconclusive: warn` in gate.yaml.
name: waterbed

on: pull_request

permissions:
  contents: read

env:
  WATERBED: waterbed         # what pip installs: a release, a wheel or a git URL
  BASELINE: runs/base        # a Run (a folder with run.json), a checkpoint, or a hub id
  CANDIDATE: runs/candidate  # the same; a checkpoint needs `suites` in gate.yaml

jobs:
  gate:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.11"
      - run: pip install "$WATERBED"
      - run: waterbed gate "$BASELINE" "$CANDIDATE" --policy gate.yaml --out waterbed-gate
      - if: always()
        uses: actions/upload-artifact@v4
        with:
          name: waterbed-gate
          path: waterbed-gate
"""

GITLAB = """\
# Gates every merge request. Include it from .gitlab-ci.yml:
#   include:
#     - local: .gitlab/waterbed.yml
# Red (1) is a proven loss; 3 is inconclusive and shown amber; 4 is trouble with the data.
waterbed-gate:
  image: python:3.11
  variables:
    WATERBED: waterbed         # what pip installs: a release, a wheel or a git URL
    BASELINE: runs/base        # a Run (a folder with run.json), a checkpoint, or a hub id
    CANDIDATE: runs/candidate  # the same; a checkpoint needs `suites` in gate.yaml
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"
  script:
    - pip install "$WATERBED"
    - waterbed gate "$BASELINE" "$CANDIDATE" --policy gate.yaml --out waterbed-gate
  allow_failure:
    exit_codes: [3]
  artifacts:
    when: always
    paths: [waterbed-gate/]
    reports:
      junit: waterbed-gate/junit.xml
"""
