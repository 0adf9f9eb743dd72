"""How well a model answers: questions, answerers (an endpoint, a checkpoint), extraction of answers, scores, comparison."""
