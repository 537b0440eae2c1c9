import pytest
import torch
from torch.nn import functional as F

from mtl_tutorial.data.table import Schema, Table
from mtl_tutorial.models.image_classifier import ImageClassifier
from mtl_tutorial.repeats import stacked
from mtl_tutorial.tasks import Task
from mtl_tutorial.training import fit

KIND, DARK = Task("kind", "multiclass", 3), Task("dark")


def pictures(count=6, side=14, seed=0):
    return Table.from_features(torch.rand(count, side * side, generator=torch.Generator().manual_seed(seed)))


def test_logits_have_one_column_per_class():
    outputs = ImageClassifier(pictures().schema, [KIND, DARK])(pictures().inputs)
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {"kind": (6, 3), "dark": (6,)}


@pytest.mark.parametrize(("side", "widths"), [(14, (16 * 49, 32 * 16, 64)), (28, (16 * 196, 32 * 49, 64)),
                                              (5, (16 * 9, 32 * 4, 64))])
def test_each_convolution_halves_the_picture(side, widths):
    table = pictures(side=side)
    layers = ImageClassifier(table.schema, [KIND]).layers(table.inputs)
    assert tuple(layer.shape for layer in layers) == tuple((6, width) for width in widths)


def test_network_is_its_formula():
    table = pictures()
    model = ImageClassifier(table.schema, [KIND], channels=(4,), width=5)
    [convolution] = model.convolutions
    x = F.conv2d(table.numeric.view(6, 1, 14, 14), convolution.weight, convolution.bias, stride=2, padding=1).relu()
    hidden = (x.reshape(6, -1) @ model.hidden.weight.T + model.hidden.bias).relu()
    expected = hidden @ model.heads["kind"].weight.T + model.heads["kind"].bias
    torch.testing.assert_close(model(table.inputs)["kind"], expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(model.represent(table.inputs)[:, 0], hidden, rtol=1e-5, atol=1e-6)


def test_pixels_are_read_row_by_row():
    """A bright top row excites a filter that looks for a bright row above a dark one, at the top alone."""
    table = Table.from_features(torch.zeros(1, 16))
    table.numeric[0, :4] = 1
    model = ImageClassifier(table.schema, [KIND], channels=(1,))
    with torch.no_grad():
        model.convolutions[0].weight.copy_(torch.tensor([[0.0, 0, 0], [1, 1, 1], [-1, -1, -1]]))
        model.convolutions[0].bias.zero_()
    found = model.layers(table.inputs)[0].view(2, 2)
    assert (found[0] > 0).all()
    assert (found[1] == 0).all()


def test_stacked_networks_say_what_each_says_alone():
    table = pictures()
    model = stacked(lambda: ImageClassifier(table.schema, [KIND]), 3, seed=0)
    together = model(table.repeat(3).inputs)["kind"]
    for repeat, alone in enumerate(model.models()):
        torch.testing.assert_close(together[repeat], alone(table.inputs)["kind"], rtol=1e-5, atol=1e-6)


def test_fit_learns_where_the_bright_spot_is():
    draw = torch.Generator().manual_seed(1)
    place = torch.randint(3, (300,), generator=draw)
    pixels = 0.3 * torch.rand(300, 14, 14, generator=draw)
    pixels[torch.arange(300), 4, 3 * place + 2] = 1.0
    table = Table.from_features(pixels.flatten(1), targets={"kind": place})
    torch.manual_seed(0)
    model = ImageClassifier(table.schema, [KIND])
    fit(model, table.take(slice(0, 200)), [KIND], epochs=10, batch_size=32, lr=5e-3)
    right = model(table.take(slice(200, 300)).inputs)["kind"].argmax(-1) == place[200:]
    assert right.float().mean() > 0.9


def test_pixels_that_are_no_square_are_refused():
    with pytest.raises(ValueError, match="200 pixels are no square picture"):
        ImageClassifier(Schema((), 200, 1), [KIND])


def test_ids_beside_the_pixels_are_refused():
    with pytest.raises(ValueError, match="a picture has no ids, but the table has 2 categorical fields"):
        ImageClassifier(Schema((3, 4), 196, 1), [KIND])
