print("walet")
