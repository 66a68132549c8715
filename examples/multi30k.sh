#!/bin/sh
# Transformer-Tiny on Multi30k, English to German: the setting of Wu et al. 2021, "Good for
# Misconceived Reasons" (BLEU 41.02 on test 2016, https://arxiv.org/abs/2105.14462).
#
#   sh examples/multi30k.sh DATA RUN [more options of `ogam train transformer`]
#
# DATA holds the published text, lower case and cut by a BPE of 10,000 merges: train, valid and
# test.2016, each .en and .de, from data/multi30k-en-de of https://github.com/LividWo/Revisit-MMT.
# 60 updates are one epoch. Ctrl-C saves; `ogam train transformer --out RUN --resume` goes on.
# On a machine with two cores, one batch of each update on each (with bfloat16 where it has that):
#
#   OGAM="torchrun --nproc-per-node 2 -m ogam" sh examples/multi30k.sh DATA RUN --threads 1 --bf16
set -eu
data=${1:?Which folder holds train.en?}
run=${2:?Which folder is the run to have?}
shift 2
exec ${OGAM:-ogam} train transformer "$data/train.en" "$data/train.de" --out "$run" \
	--valid "$data/valid.en" --valid "$data/valid.de" \
	--test "$data/test.2016.en" --test "$data/test.2016.de" \
	--tokens space --vocabulary 0 \
	--d-model 128 --feed-forward 256 --nhead 4 --encoder-layers 4 --decoder-layers 4 \
	--dropout 0.3 --attention-dropout 0 --activation-dropout 0 --smoothing 0.1 \
	--lr 0.005 --schedule inverse-sqrt --warmup 2000 --betas 0.9 0.98 --clip 0 \
	--batch-tokens 4096 --accumulate 2 --updates 8000 --patience 10 \
	--valid-every 60 --save-every 60 --log-every 20 --average 10 --beam 5 --precision float32 --seed 1 "$@"
