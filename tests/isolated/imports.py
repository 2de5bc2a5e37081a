"""An isolated program can import all it may need."""

import examples
import ringlet
import tests.support

print(ringlet.__name__, examples.__name__, tests.support.__name__)
