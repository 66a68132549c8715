"""BERT: two sentences as vectors, and how near they are.

    python examples/bert_similarity.py --model google-bert/bert-base-uncased

The program it answers is below: the mean of the last layer's rows, and the cosine. Then the same
folder in Ogam, converted once to ONNX: the same number, and torch is not loaded to serve it.

문장의 모든 토큰 벡터를 평균 내어 문장 벡터를 만들고 코사인으로 비교합니다. 같은 폴더를 Ogam이
ONNX로 한 번 바꿔서 읽어도 값이 같습니다. 작은 모델은 가중치가 난수라서 값 자체에는 뜻이 없고,
둘이 같다는 것만 뜻이 있습니다.
"""

import shutil

import small_models
import torch
from scipy.spatial.distance import cosine
from transformers import AutoTokenizer, BertModel

import ogam
from ogam.models.convert import convert

options = small_models.options(__doc__, "google-bert/bert-base-uncased")
# The real one is this line: folder = small_models.fetch("google-bert/bert-base-uncased")
folder = small_models.fetch(options.model) if options.model else small_models.encoder(options.out)
if not options.model:
    print("A BERT of two layers and random weights: that the two agree is all this shows.\n")

tokenizer = AutoTokenizer.from_pretrained(folder)
model = BertModel.from_pretrained(folder)
sentences = ["I love him very much", "But he doesn't love me"]
input1 = tokenizer(sentences[0], return_tensors="pt")
input2 = tokenizer(sentences[1], return_tensors="pt")
with torch.no_grad():
    output1 = model(**input1)
    output2 = model(**input2)
embedding1 = output1.last_hidden_state.mean(dim=1).squeeze().cpu().numpy()
embedding2 = output2.last_hidden_state.mean(dim=1).squeeze().cpu().numpy()
sim = 1 - cosine(embedding1, embedding2)
print(f"transformers  {sim:.6f}")

# On the command line: ogam models pull google-bert/bert-base-uncased --for embed
converted = options.out / f"{folder.name}-onnx"
shutil.rmtree(converted, ignore_errors=True)
convert(folder, converted, capability="embed")
same = ogam.similarity(*sentences, model=f"onnx_encoder/{converted.resolve()}")
print(f"Ogam          {same:.6f}")
print(f"difference    {abs(sim - same):.1e}")

if not options.model:
    starter = ogam.similarity(*sentences)
    print(f"\nA trained encoder, all-MiniLM-L6-v2, which comes with Ogam: {starter:.2f}")
