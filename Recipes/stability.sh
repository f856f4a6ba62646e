#!/bin/bash
# The stability experiment: the same run with Muon and with MuonClip, a table, a page and a picture. A few minutes on two
# cores; Recipes/prepare.sh comes first.
#
#     Recipes/stability.sh [FOLDER]              # runs/stability
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-runs/stability}
walet=.build/release/walet
for optimizer in muonclip muon; do
    # Where all goes wrong, Muon's run may end with an error; what it wrote until then is what is to be seen.
    "$walet" train Recipes/stability-muonclip.yaml --set "training.optimizer=$optimizer" --out "$folder/$optimizer" > /dev/null ||
        echo "$optimizer ended early" >&2
done
"$walet" train report "$folder/muonclip" "$folder/muon" --out "$folder/report.html"
python=.venv/bin/python
if "$python" -c "import matplotlib" 2> /dev/null; then
    "$python" Tools/plot_metrics.py --panels "loss,logit,QK-Clip,validation" "$folder/stability.png" "$folder/muonclip" "$folder/muon"
    echo "the picture is in $folder/stability.png" >&2
fi
