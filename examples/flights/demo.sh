#!/usr/bin/env bash
# A year of a model's life, in minutes. Each command is shown before it runs; all of them are ordinary
# commands that you can type yourself. Usage: demo.sh [FOLDER_WITH_TREADLE_AND_PYTHON]
set -euo pipefail
cd "$(dirname "$0")"
if [ $# -gt 0 ]; then export PATH="$1:$PATH"; fi
export PYTHONWARNINGS=ignore

say() { printf '\n\033[1;36m── %s\033[0m\n' "$*"; }
quoted() { # the words as a shell takes them, in quotes only where it must be
  local word
  for word; do
    case $word in
      *\'*) printf '%q ' "$word" ;;
      '' | *[!A-Za-z0-9_./=:@%,+-]*) printf "'%s' " "$word" ;;
      *) printf '%s ' "$word" ;;
    esac
  done
}
run() { printf '\033[1m$ %s\033[0m\n' "$(quoted "$@")"; "$@"; }

started=$SECONDS
rm -rf .treadle data report.html

say "The data: every flight that left New York in 2013"
run python prepare.py
run treadle data add flights

say "We are at 1 April 2013. A server takes care of everything from here on"
run treadle replay start 2013-04-01
printf '\033[1m$ treadle up &\033[0m\n'
treadle up --port 0 > .treadle/up.log 2>&1 &
server=$!
trap 'kill $server 2>/dev/null; wait $server 2>/dev/null || true' EXIT
for _ in $(seq 100); do grep -q "API at" .treadle/up.log && break; sleep 0.1; done
cat .treadle/up.log

say "Experiment: which hyperparameters?"
run treadle train --name stumps --set max_leaf_nodes=2
run treadle train --name shallow --set max_leaf_nodes=6 --set max_iter=80
run treadle train --name deep --set max_leaf_nodes=63 --set min_samples_leaf=20 --set max_features=1.0
run treadle train --name balanced
run treadle runs ls --sort -metrics.holdout.roc_auc
best=$(treadle runs ls --sort -metrics.holdout.roc_auc --limit 1 --json | python -c 'import json, sys; print(json.load(sys.stdin)[0]["id"])')

say "Train, evaluate, deploy: one turn of the wheel, explained before it is made"
run treadle run --plan --like "$best"
run treadle run --like "$best" --reason "the best of four experiments"

say "April to December: real requests, labels that arrive after landing, monitors, retraining"
run treadle replay until 2013-12-31

say "The year"
run treadle history
run treadle report --out report.html

printf '\n\033[1mDone in %d seconds.\033[0m Open examples/flights/report.html, then try, in examples/flights:\n' $((SECONDS - started))
printf '  treadle up                        # serve the model again, and ask it something\n'
printf '  treadle cycles                    # every turn of the wheel, and why it ended as it did\n'
printf '  treadle models show flights       # the passport of what is in production\n'
