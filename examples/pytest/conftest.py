pytest_plugins = ["regears_pytest"]
