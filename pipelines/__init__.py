"""Scripts (modules named by verbs: preprocess, train, translate, ...) and the libraries that they use."""
