// What users of the library name, gathered from the targets that define it, so that `import Walet` is all they need.

import WaletEngine
import WaletFormats
import WaletHub
import WaletJSON
import WaletModels
import WaletText

public typealias Configuration = WaletFormats.Configuration
public typealias FormatError = WaletFormats.FormatError
public typealias RoutingTrace = WaletModels.RoutingTrace
public typealias SamplingParameters = WaletEngine.SamplingParameters
public typealias Speculation = WaletEngine.Speculation
public typealias EngineError = WaletEngine.EngineError
public typealias EngineOptions = WaletEngine.EngineOptions
public typealias PassShape = WaletEngine.PassShape
public typealias PassWork = WaletEngine.PassWork
public typealias EngineStatistics = WaletEngine.EngineStatistics
public typealias ExpertStatistics = WaletModels.ExpertStatistics
public typealias ExpertReads = WaletModels.ExpertStoreOptions.Mode
public typealias ExpertReadComparison = WaletModels.ExpertReadComparison
public typealias ModelPacker = WaletEngine.ModelPacker
public typealias MemoryLimitError = WaletModels.MemoryLimitError
public typealias RequestProgress = WaletEngine.RequestProgress
public typealias FinishReason = WaletEngine.FinishReason
public typealias Usage = WaletEngine.GenerationUsage
public typealias TokenScores = WaletEngine.TokenScores
public typealias BenchmarkResult = WaletEngine.BenchmarkResult
public typealias ChatMessage = WaletText.ChatMessage
public typealias ChatMessageError = WaletText.ChatMessageError
public typealias ToolCall = WaletText.ToolCall
public typealias JSONValue = WaletJSON.JSONValue
public typealias ModelFolder = WaletFormats.ModelFolder
public typealias GGUFExport = WaletFormats.GGUFExport
public typealias ModelStore = WaletHub.ModelStore
public typealias StoredModel = WaletHub.StoredModel
public typealias Verification = WaletHub.Verification
public typealias Hub = WaletHub.Hub
public typealias HubError = WaletHub.HubError
public typealias PullEvent = WaletHub.PullEvent
public typealias ProgressBars = WaletHub.ProgressBars
public typealias Precision = WaletModels.Precision
public typealias PrecisionComparison = WaletEngine.PrecisionComparison
