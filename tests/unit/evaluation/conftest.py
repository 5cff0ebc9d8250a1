"""How hypothesis searches here: without deadlines, for a busy machine is no fault of a metric."""

from hypothesis import settings

settings.register_profile("evaluation", deadline=None, max_examples=50)
settings.load_profile("evaluation")
