"""How the losses of several tasks become one step: by weights on losses or on gradients."""
