// The system's functions by names that no test has a variable of.
import Foundation

func cosine(_ x: Double) -> Float { Float(cos(x)) }
func sine(_ x: Double) -> Float { Float(sin(x)) }
func exponential(_ x: Double) -> Double { exp(x) }
