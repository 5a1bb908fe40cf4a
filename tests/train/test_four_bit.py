"""QLoRA: adapters on weights of 4 bits, saved alone, played on the full weights."""

import json

import torch
from bitsandbytes.nn import Linear4bit

from agentkd.recipe import LoraSection, TrainSection
from agentkd.run_folder import RunFolder
from agentkd.students.four_bit import load_in_four_bits
from agentkd.students.load import load_student
from agentkd.train.run import train


def test_weights_have_four_bits_and_are_nearly_those_of_the_student() -> None:
    whole, packed = load_student("tiny").model, load_in_four_bits("tiny").model
    layers = {
        name: layer for name, layer in packed.named_modules() if isinstance(layer, Linear4bit)
    }
    assert len(layers) == 7 * whole.config.num_hidden_layers
    for layer in layers.values():
        assert layer.weight.quant_state.quant_type == "nf4"
        assert layer.weight.numel() == layer.in_features * layer.out_features // 2
    tokens = torch.arange(4, 40)[None]
    with torch.no_grad():
        one, other = whole(tokens).logits, packed(tokens).logits.float()
    assert torch.nn.functional.cosine_similarity(one, other, dim=-1).min() > 0.95


def test_adapters_are_trained_and_saved_alone(rows_run: RunFolder) -> None:
    lora = LoraSection(r=4, alpha=8, four_bit=True)
    settings = TrainSection(
        student="tiny", lora=lora, max_steps=12, batch_size=4, learning_rate=0.01, precision="fp32"
    )
    train(rows_run, settings)
    points = [json.loads(line) for line in rows_run.training_log.read_text().splitlines()]
    losses = [point["loss"] for point in points if "loss" in point]
    assert losses[-1] < losses[0]
    assert (rows_run.student / "adapter_config.json").is_file()
    assert not (rows_run.student / "model.safetensors").exists()
    trained = load_student(str(rows_run.student)).model
    assert not any(isinstance(layer, Linear4bit) for layer in trained.modules())
    tokens = torch.arange(4, 40)[None]
    with torch.no_grad():
        before, after = load_student("tiny").model(tokens).logits, trained(tokens).logits
    assert (before - after).abs().max() > 1e-3


def test_an_evaluation_does_not_cut_the_gradient() -> None:
    """bitsandbytes lays weights out for inference on some CPUs; gradients must still pass."""
    model = load_in_four_bits("tiny").model
    tokens = torch.arange(4, 40)[None]
    gradients = []
    for _ in range(2):
        states = model.get_input_embeddings()(tokens).detach().requires_grad_()
        model.train()
        model(inputs_embeds=states).logits.float().square().mean().backward()
        gradients.append(states.grad)
        model.eval()
        with torch.no_grad():
            model(tokens)
    assert gradients[0].abs().sum() > 0
    torch.testing.assert_close(*gradients)
