"""Word2Vec: words as vectors, and how near two of them are.

The program it answers is below as it was, but for one slip: it named the vector of "he" `love`.

단어를 벡터로 바꾸고 코사인으로 비교합니다. 같은 벡터를 Ogam으로 읽으면 같은 값이 나옵니다.
문장 네 개로는 아무 뜻도 배울 수 없고, 글이 길어질수록 이웃한 단어가 말이 되기 시작합니다.
"""

import shutil

import small_models
from gensim.models import Word2Vec
from gensim.utils import simple_preprocess
from scipy.spatial.distance import cosine

import ogam
from ogam import registry
from ogam.training import word2vec

options = small_models.options(__doc__)
sentences = [
    "I love him very much",
    "But he doesn't love me",
    "That team A is very powerful",
    "But I think team name B will be win",
]
processed = [simple_preprocess(sentence) for sentence in sentences]
model = Word2Vec(sentences=processed, vector_size=5, window=5, min_count=1, sg=0, workers=1)
he = model.wv["he"]
team = model.wv["team"]
sim = 1 - cosine(he, team)
print(f"gensim: he and team  {sim:.4f}")

# The same vectors in the format that other programs read, and Ogam too.
folder = options.out / "four-sentences"
folder.mkdir(exist_ok=True)
model.wv.save_word2vec_format(str(folder / "vectors.bin"), binary=True)
same = ogam.similarity("he", "team", model=f"word2vec/{folder.resolve()}")
print(f"Ogam:   he and team  {same:.4f}  (from 4 sentences: it means nothing)")

# More text, more sense. The same as: ogam train word2vec samples/text/fables.txt -o RUN ...
run = options.out / "fables-words"
shutil.rmtree(run, ignore_errors=True)
settings = word2vec.Settings(
    files=(str(small_models.FABLES),), text="paragraphs", vector_size=30, window=3, min_count=5,
    negative=10, sample=1e-2, alpha=0.05, epochs=40,
)  # fmt: skip
print(f"\n{word2vec.train(run, settings).words} words of 60 KB of fables")
engine = registry.Registry().get(f"word2vec/{run.resolve()}/model")
for word in ("wolf", "said"):
    near = ", ".join(f"{one} {value:.2f}" for one, value in engine.nearest(word, 4))
    print(f"near {word}: {near}")
