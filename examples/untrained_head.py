"""The untrained head and its cure: a plain encoder is asked for sentiment.

    python examples/untrained_head.py --model FacebookAI/roberta-base

The program it answers, which gave an answer, and a wrong one:

    sentiment_analysis = pipeline('sentiment-analysis', model='roberta-base')
    result = sentiment_analysis('i love him. But he hate me. I\\'m so sad')

roberta-base에는 감성 분석용 분류층이 없습니다. transformers는 그 층을 난수로 채우고 그래도
답합니다. Ogam은 읽기 전에 확인해서 거절하고, 무엇이 없는지와 파인튜닝 명령을 알려 줍니다.
파인튜닝하면 제대로 답합니다.
"""

import small_models
import transformers

import ogam
from ogam.errors import UntrainedHeadError
from ogam.models.convert import convert

TEXT = "i love him. But he hate me. I'm so sad"
options = small_models.options(__doc__, "FacebookAI/roberta-base")
# The real one is this line: folder = small_models.fetch("FacebookAI/roberta-base")
small = small_models.encoder(options.out, "roberta")
folder = small_models.fetch(options.model) if options.model else small
if not options.model:
    print("A RoBERTa of two layers and random weights stands for roberta-base.\n")

# 1. What the program did: each time the head is other random numbers, and so is the answer.
for _ in range(2):
    noise = transformers.pipeline("sentiment-analysis", model=str(folder))(TEXT)[0]
    print(f"transformers: {noise['label']} {noise['score']:.2f}")

# 2. What Ogam does.
try:
    convert(folder, options.out / "never", capability="classify")
except UntrainedHeadError as error:
    print(f"\nOgam: {error.message}\n{error.hint}\n")

# 3. The cure, which is the command above: ogam train classifier DATA.tsv --model FOLDER -o RUN
run = small_models.fine_tuned(options.out, folder)
model = f"onnx_classifier/{run.resolve()}/model"
for text in (TEXT, "he hate me. But I love him"):
    found = ogam.classify(text, model=model)
    print(f"after fine-tuning: {found.label} {found.score:.2f}  {text}")
rows = len(small_models.reviews(options.out).read_text().splitlines()) - 1
print(f"It knows the {rows} made-up sentences it was fine-tuned on and little else.")
