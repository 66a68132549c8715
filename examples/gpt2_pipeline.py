"""GPT-2's pipeline: a text goes on, in two ways, and otherwise each time.

    python examples/gpt2_pipeline.py --model openai-community/gpt2

The program it answers, which wanted transformers==4.37.0 to run:

    generator = pipeline('text-generation', model='gpt2')
    result = generator('do you know', max_length=50, num_return_sequences=2)

글이 이어집니다. max_length는 프롬프트까지 합친 토큰 수의 상한이고, 항상 그만큼 쓰지는 않습니다.
무작위로 뽑기 때문에 실행할 때마다 결과가 다르고, seed를 주면 같은 결과가 다시 나옵니다.
"""

import small_models

import ogam
from ogam.models.pull import Request, pull

PROMPT = "do you know"
options = small_models.options(__doc__, "openai-community/gpt2")
# The real GPT-2 is this line: model = pull(Request(source="openai-community/gpt2"))
model = pull(Request(source=options.model)) if options.model else small_models.writer(options.out)
if not options.model:
    print("GPT-2's architecture, 0.2 million weights, taught 60 KB of fables for seconds:")
    print("most words are English, the sense is not.\n")

# top_k=50 is what the pipelines of transformers do unasked.
result = ogam.generate(PROMPT, max_length=50, n=2, top_k=50, model=model)
for number, text in enumerate(result.texts, 1):
    print(f"{number}. {PROMPT} {' '.join(text.split())}")

again = ogam.generate(PROMPT, max_length=50, n=2, top_k=50, model=model)
print("\nOnce more, the same texts?", "yes" if again.texts == result.texts else "no, it is random")

seeded = [
    ogam.generate(PROMPT, max_length=50, n=2, top_k=50, seed=7, model=model) for _ in range(2)
]
print("Twice with seed=7?", "the same" if seeded[0].texts == seeded[1].texts else "different")
print(f"{result.units.input_tokens} tokens in, {result.units.output_tokens} tokens out")
