#!/usr/bin/env bash
# Everything that needs a GPU, in one run: about 6 minutes on an H100.
#
#     bash benchmarks/gpu.sh [FOLDER]              # results go to FOLDER, ./gpu_results without it
#     DEVICE=cpu bash benchmarks/gpu.sh [FOLDER]   # all its parts, where there is no GPU
#
# Needs this repository and the package installed with its test extra; PYTHON names the interpreter.
# FOLDER/gpu.md holds all tables. The exit code is 1 if a part failed, and the others ran anyway.
set -uo pipefail

device=${DEVICE:-cuda}
python=${PYTHON:-python}
mkdir -p "${1:-gpu_results}"
results=$(cd "${1:-gpu_results}" && pwd)
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 2
# A part that hangs does not take the others with it: seconds for each.
if [ "$device" = cpu ]; then genes="500" batches="128" limit=600
else genes="4218 20000" batches="128 1024" limit=180; fi

failed=()
part() { # NAME COMMAND...
  local name=$1 start=$SECONDS
  shift
  echo "== $name: $*"
  if timeout "$limit" "$@" >"$results/$name.log" 2>&1; then echo "   done in $((SECONDS - start)) s"
  else failed+=("$name"); tail -n 30 "$results/$name.log"; fi
}

# shellcheck disable=SC2086  # several numbers are several arguments
{
  part tests "$python" -m pytest -m gpu -p no:cacheprovider tests
  part agreement "$python" benchmarks/agreement.py --devices cpu "$device" --results "$results"
  part realism "$python" benchmarks/realism.py --data pbmc68k --targets "CD19+ B" \
    --accelerator "$device" --results "$results"
  part speed "$python" benchmarks/speed.py --genes $genes --batches $batches --end-to-end \
    --accelerator "$device" --results "$results"
}

"$python" - "$device" >"$results/gpu.md" <<'PYTHON'
import os, platform, sys
import torch, scgan_perturb
name = torch.cuda.get_device_name() if sys.argv[1] == "cuda" and torch.cuda.is_available() else sys.argv[1]
print(f"# On a GPU\n\n`bash benchmarks/gpu.sh` on {name} beside {os.cpu_count()} processors; "
      f"Python {platform.python_version()}, torch {torch.__version__}, scgan_perturb {scgan_perturb.__version__}.\n")
PYTHON
{
  echo "Tests marked \`gpu\`: $(grep -E '(passed|failed|skipped|error).* in [0-9.]+s' "$results/tests.log" | tail -n 1 | tr -d =)"
  for table in agreement realism_pbmc68k speed; do
    [ -f "$results/$table.md" ] && { echo; sed 's/^# /## /' "$results/$table.md"; }
  done
} >>"$results/gpu.md"
cat "$results/gpu.md"
if [ ${#failed[@]} -gt 0 ]; then echo "Failed: ${failed[*]}" >&2; exit 1; fi
echo "All parts passed in $SECONDS s."
