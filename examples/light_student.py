"""A light student: a small classifier learns what a large one says, as DistilBERT and TinyBERT do.

    python examples/light_student.py --model OWNER/NAME   # a classifier of the hub

큰 모델(선생)의 대답을 작은 모델(학생)이 배웁니다. 정답 하나가 아니라 선생이 라벨마다 준 확률을
배우기 때문에 적은 층으로도 비슷하게 답합니다. 크기와 속도와 남은 정확도를 표로 보여 줍니다.
"""

import shutil
from contextlib import contextmanager

import small_models

import ogam
from ogam import registry
from ogam.training import distil_classifier, distil_report
from ogam.training.classifier import Source


@contextmanager
def serve(engine, folder):
    """A model as every request meets it, while its speed is measured."""
    models = registry.Registry()
    yield models.get(f"{engine}/{folder.resolve()}")
    models.close()


def teach(teacher, student, texts, rate):
    """The same as: ogam distil classifier TEXTS --teacher TEACHER -o STUDENT --layers 1."""
    shutil.rmtree(student, ignore_errors=True)
    settings = distil_classifier.Settings(
        layers=1, epochs=6, batch_size=16, learning_rate=rate, max_tokens=32
    )
    done = distil_classifier.train(Source(texts), teacher, student, serve=serve, settings=settings)
    return done.report


if __name__ == "__main__":
    options = small_models.options(__doc__, "OWNER/NAME of a classifier")
    # A real teacher is a run of ogam train classifier, or a model of the hub with a trained head:
    # teacher = small_models.fetch("distilbert/distilbert-base-uncased-finetuned-sst-2-english")
    if options.model:
        teacher = small_models.fetch(options.model)
    else:
        large = small_models.encoder(options.out, layers=4)
        teacher = small_models.fine_tuned(options.out, large)
        print("Both are tiny, and were taught made-up sentences about liking and disliking.\n")
    texts = small_models.reviews(options.out)
    rate = 1e-4 if options.model else 2e-3  # what knows little may learn fast
    report = teach(teacher, options.out / "student", texts, rate)
    print(f"{'':<16}{'teacher':>12}{'student':>12}")
    for row in distil_report.rows(report):
        print("{:<16}{:>12}{:>12}  {}".format(*row))
    text = "they love me. But I'm so sad."
    model = f"onnx_classifier/{(options.out / 'student').resolve()}/model"
    found = ogam.classify(text, model=model)
    print(f"\nthe student: {found.label} {found.score:.2f}  {text}")
