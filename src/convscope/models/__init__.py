"""Networks by name. Importing this package enters every model into the registry."""

from convscope.models.ablation import ablation as ablation
from convscope.models.alexnet import alexnet_bn as alexnet_bn
from convscope.models.alexnet import alexnet_owt as alexnet_owt
from convscope.models.alexnet_2012 import alexnet_2012 as alexnet_2012
from convscope.models.alexnet_cifar import alexnet_cifar as alexnet_cifar
from convscope.models.lenet5 import lenet5 as lenet5
from convscope.models.lenet5 import lenet5_1998 as lenet5_1998
from convscope.models.lenet5 import lenet5_keras as lenet5_keras
from convscope.models.registry import Classifier as Classifier
from convscope.models.registry import arguments_json as arguments_json
from convscope.models.registry import build as build
from convscope.models.registry import convert_arguments as convert_arguments
from convscope.models.registry import get_model as get_model
from convscope.models.registry import list_models as list_models
from convscope.models.registry import register as register
