#!/usr/bin/env bash
# Post-training as JaColBERTv2.5 had it (arXiv 2407.20750), on small data: a base model, a smaller and
# better set with hard negatives and teachers' scores, a share of the old data against forgetting, and the
# mean of both models.
#
#   examples/post_training.sh OLD.json NEW.json FOLDER
#
# OLD and NEW are questions and passages in SQuAD's JSON layout. The steps are few, for a first look;
# STEPS=2000 in front of the command takes more.
set -euo pipefail
old=$(realpath "$1") new=$(realpath "$2")
steps=${STEPS:-20}
mkdir -p "$3" && cd "$3" && cp "$old" old.json && cp "$new" new.json

# 1. The base: the bundled model, trained on the old data.
jacolbert train --squad old.json --window 160 --set steps=$steps warmup_steps=1 learning_rate=5e-5 scale=4 --output base

# 2. Hard negatives for both sets: passages that the base and BM25 take for answers.
jacolbert negatives --squad old.json --model base/model --model-count 4 --bm25 3 --window 2 30 --same-document --output old-mined.jsonl
jacolbert negatives --squad new.json --model base/model --model-count 4 --bm25 3 --window 2 30 --same-document --output new-mined.jsonl

# 3. Teachers: the mean of what BM25 and the base think. Elsewhere: --teacher cross-encoder BAAI/bge-reranker-v2-m3
jacolbert teach --examples old-mined.jsonl --teacher bm25 --teacher late-interaction base/model --output old-taught.jsonl
jacolbert teach --examples new-mined.jsonl --teacher bm25 --teacher late-interaction base/model --output new-taught.jsonl

# 4. Post-training by v2.5's recipe on the new set, with a tenth as much of the old.
jacolbert train --recipe v2.5 --set ways=6 batch_size=8 steps=$steps warmup_steps=1 --skip-bad-rows --examples new-taught.jsonl --mix old-taught.jsonl --mix-share 0.1 --model base/model --output post

# 5. The mean of base and post-trained model, and what it was made of.
jacolbert merge base/model post/model --output merged
cat merged/merge.json

# 6. How good it is.
jacolbert evaluate merged --sample 50
