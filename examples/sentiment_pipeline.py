"""The sentiment pipeline: how does a sentence speak, well or badly?

    python examples/sentiment_pipeline.py "what a lovely day"

The program it answers:

    sentiment_analysis = pipeline('sentiment-analysis')
    result = sentiment_analysis('i have sympathy about you. But i don\\'t know')

모델을 고르지 않으면 기본 감성 분석 모델이 답합니다. 내가 정한 라벨을 주면, 파인튜닝하지 않은 문장
임베딩이 어느 라벨에 더 가까운지 보는 제로샷으로 답합니다. 점수는 확신의 정도이지 정답률이 아닙니다.
"""

import argparse

import ogam

parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("text", nargs="*", default=["i have sympathy about you. But i don't know"])
# Another one is pulled once and then named, as --model local/NAME:
# ogam models pull distilbert/distilbert-base-uncased-finetuned-sst-2-english
parser.add_argument("--model", help="a classifier that was pulled or trained; else the default")
options = parser.parse_args()

result = ogam.classify(options.text, model=options.model)
for text, found in zip(options.text, result.classifications, strict=True):
    print(f"{found.label}  {found.score:.2f}  {text}")
print("by", result.model)

# The same pipeline takes labels of one's own; then no model was fine-tuned for them.
own = ogam.classify(options.text, ["hope", "doubt", "weather"])
print(f"\namong hope, doubt and weather: {own.label} {own.score:.2f}, by {own.model}")
