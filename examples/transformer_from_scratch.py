"""A Transformer from scratch: it learns to say a row of letters backwards.

The program it answers made the model of the paper and stopped there:

    model = Transformer(d_model=512, nhead=8, num_encoder_layers=6, num_decoder_layers=6)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.0001)
    criterion = nn.CrossEntropyLoss()

인코더가 글자열을 읽고 디코더가 거꾸로 씁니다. 구조는 논문과 같고 크기만 작아서, 몇 초면 처음부터
배웁니다. 모델이 작을수록 학습률을 크게 잡을 수 있습니다. 번역 모델은 ogam train transformer 한 줄로
만듭니다.
"""

import torch
from torch import nn

from ogam.training.transformer import END, START, Shape, Transformer

LETTERS = "abcdefghij"
LENGTH = 6
torch.set_num_threads(1)
torch.manual_seed(1)

paper = Shape(vocabulary=37_000, d_model=512, nhead=8, encoder_layers=6, decoder_layers=6)
shape = Shape(
    vocabulary=4 + len(LETTERS), d_model=64, nhead=4, encoder_layers=1, decoder_layers=1,
    feed_forward=128, dropout=0,
)  # fmt: skip
with torch.device("meta"):  # shapes without memory
    size = sum(one.numel() for one in Transformer(paper).parameters())
model = Transformer(shape)
own = sum(one.numel() for one in model.parameters())
print(f"the paper's base model {size / 1e6:.0f} million weights, this one {own / 1e6:.2f}")

optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
criterion = nn.CrossEntropyLoss()


def rows(count):
    """Letters as tokens (count, LENGTH), and the same backwards between START and END."""
    source = torch.randint(4, 4 + len(LETTERS), (count, LENGTH))
    edge = torch.ones(count, 1, dtype=torch.long)
    return source, torch.cat([edge * START, source.flip(1), edge * END], dim=1)


for step in range(1, 151):
    source, target = rows(64)
    # What it says after each token of the answer, and what it should have said.
    scores = model(source, target[:, :-1])
    loss = criterion(scores.reshape(-1, shape.vocabulary), target[:, 1:].reshape(-1))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step in (1, 50, 100, 150):
        print(f"step {step:3}  loss {loss.item():.3f}")

model.eval()
source, target = rows(200)
said = torch.full((200, 1), START)
with torch.no_grad():
    for _ in range(LENGTH):  # one letter at a time, the likeliest
        said = torch.cat([said, model(source, said)[:, -1:].argmax(-1)], dim=1)
for asked, answer in zip(source[:3], said[:3], strict=True):
    print(*("".join(LETTERS[one - 4] for one in row) for row in (asked, answer[1:])), sep=" -> ")
right = (said[:, 1:] == target[:, 1:-1]).all(1).sum().item()
print(f"{right} of 200 rows that it has not seen are right")
