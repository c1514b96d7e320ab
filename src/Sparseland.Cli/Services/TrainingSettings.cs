using System.CommandLine;
using System.Text.Json.Nodes;
using Sparseland.Cli.Hosting;

namespace Sparseland.Cli.Services;

/// <summary>How a network is trained, as flags say it and <c>run.json</c> records it.</summary>
internal sealed record TrainingSettings
{
    public double Epochs { get; init; }

    public long? Steps { get; init; }

    public int Batch { get; init; } = 128;

    public string Optimizer { get; init; } = "sgd";

    public double LearningRate { get; init; } = 0.05;

    public double Momentum { get; init; } = 0.9;

    public double WeightDecay { get; init; } = 5e-4;

    public string Schedule { get; init; } = "cosine";

    public double WarmUpFraction { get; init; }

    public double LabelSmoothing { get; init; }

    public string Augment { get; init; } = "auto";

    public double? AverageDecay { get; init; }

    public double? ClipNorm { get; init; }

    public string? Teacher { get; init; }

    public double TeacherWeight { get; init; } = 0.9;

    public double Temperature { get; init; } = 4;

    public int Window { get; init; } = 128;

    public JsonObject ToJson() => new()
    {
        ["epochs"] = Epochs,
        ["steps"] = Steps,
        ["batch"] = Batch,
        ["optimizer"] = Optimizer,
        ["learningRate"] = LearningRate,
        ["momentum"] = Momentum,
        ["weightDecay"] = WeightDecay,
        ["schedule"] = Schedule,
        ["warmUpFraction"] = WarmUpFraction,
        ["labelSmoothing"] = LabelSmoothing,
        ["augment"] = Augment,
        ["averageDecay"] = AverageDecay,
        ["clipNorm"] = ClipNorm,
        ["teacher"] = Teacher,
        ["teacherWeight"] = TeacherWeight,
        ["temperature"] = Temperature,
        ["window"] = Window,
    };
}

/// <summary>The flags behind <see cref="TrainingSettings"/>, the same in every verb that trains.</summary>
internal sealed class TrainingFlags(TrainingSettings defaults)
{
    private readonly Option<double?> _epochs = new("--epochs") { Description = $"Passes over the training data (default {defaults.Epochs:G})." };
    private readonly Option<long?> _steps = new("--steps") { Description = "Optimizer steps, instead of --epochs." };
    private readonly Option<int?> _batch = new("--batch") { Description = $"Samples per step (default {defaults.Batch})." };
    private readonly Option<string?> _optimizer = new("--optimizer") { Description = $"sgd, adam or adamw (default {defaults.Optimizer}; adamw for text)." };
    private readonly Option<double?> _learningRate = new("--learning-rate", "--lr") { Description = $"Peak learning rate (default {defaults.LearningRate:G} for sgd, 0.001 for adam and adamw)." };
    private readonly Option<double?> _momentum = new("--momentum") { Description = $"Momentum of sgd, Nesterov form (default {defaults.Momentum:G})." };
    private readonly Option<double?> _weightDecay = new("--weight-decay") { Description = $"Weight decay; norms and biases have none (default {defaults.WeightDecay:G})." };
    private readonly Option<string?> _schedule = new("--lr-schedule") { Description = $"cosine, linear, one-cycle, step or constant (default {defaults.Schedule})." };
    private readonly Option<double?> _warmUp = new("--warm-up") { Description = "Share of the steps over which the learning rate rises from zero (0 to 0.5)." };
    private readonly Option<double?> _smoothing = new("--label-smoothing") { Description = "0 up to, but not including, 1." };
    private readonly Option<string?> _augment = new("--augment") { Description = "auto, none, crop, flip or crop,flip (default auto: crop,flip for colour pictures)." };
    private readonly Option<double?> _average = new("--ema") { Description = "Keep a moving average of the weights with this decay, e.g. 0.999." };
    private readonly Option<double?> _clip = new("--clip") { Description = "Largest norm of all gradients together." };
    private readonly Option<string?> _teacher = new("--teacher") { Description = "A model whose outputs are learned beside the labels (distillation)." };
    private readonly Option<double?> _teacherWeight = new("--teacher-weight") { Description = "Share of the teacher in the loss, 0 to 1 (default 0.9)." };
    private readonly Option<double?> _temperature = new("--temperature") { Description = "Temperature of the distillation (default 4)." };
    private readonly Option<int?> _window = new("--window") { Description = $"Tokens per sample of text (default {defaults.Window})." };

    public void AddTo(Command command)
    {
        Option[] all =
        [
            _epochs, _steps, _batch, _optimizer, _learningRate, _momentum, _weightDecay, _schedule, _warmUp, _smoothing, _augment, _average, _clip,
            _teacher, _teacherWeight, _temperature, _window,
        ];
        foreach (Option option in all) command.Options.Add(option);
    }

    /// <summary>The settings, every value in range.</summary>
    /// <param name="arguments">The parsed command line.</param>
    /// <param name="text">Whether the data is text: other defaults.</param>
    public TrainingSettings Read(ParseResult arguments, bool text)
    {
        string optimizer = Among("--optimizer", arguments.GetValue(_optimizer) ?? (text ? "adamw" : defaults.Optimizer), "sgd", "adam", "adamw");
        double fallbackRate = optimizer == "sgd" ? defaults.LearningRate : text ? 3e-3 : 1e-3;
        return new TrainingSettings
        {
            Epochs = Within("--epochs", arguments.GetValue(_epochs) ?? defaults.Epochs, 0, 100_000),
            Steps = arguments.GetValue(_steps) is { } steps ? (long)Within("--steps", steps, 0, 1e9) : null,
            Batch = (int)Within("--batch", arguments.GetValue(_batch) ?? (text ? Math.Min(32, defaults.Batch) : defaults.Batch), 1, 65_536),
            Optimizer = optimizer,
            LearningRate = Within("--learning-rate", arguments.GetValue(_learningRate) ?? fallbackRate, 1e-12, 1e3),
            Momentum = Within("--momentum", arguments.GetValue(_momentum) ?? defaults.Momentum, 0, 0.9999),
            WeightDecay = Within("--weight-decay", arguments.GetValue(_weightDecay) ?? (optimizer == "adamw" ? 0.01 : defaults.WeightDecay), 0, 10),
            Schedule = Among("--lr-schedule", arguments.GetValue(_schedule) ?? defaults.Schedule, "cosine", "linear", "one-cycle", "step", "constant"),
            WarmUpFraction = Within("--warm-up", arguments.GetValue(_warmUp) ?? (text ? 0.05 : defaults.WarmUpFraction), 0, 0.5),
            LabelSmoothing = Within("--label-smoothing", arguments.GetValue(_smoothing) ?? defaults.LabelSmoothing, 0, 0.999),
            Augment = Among("--augment", arguments.GetValue(_augment) ?? defaults.Augment, "auto", "none", "crop", "flip", "crop,flip"),
            AverageDecay = arguments.GetValue(_average) is { } decay ? Within("--ema", decay, 0, 0.999999) : defaults.AverageDecay,
            ClipNorm = arguments.GetValue(_clip) is { } clip ? Within("--clip", clip, 1e-9, 1e9) : text ? 1 : defaults.ClipNorm,
            Teacher = arguments.GetValue(_teacher) ?? defaults.Teacher,
            TeacherWeight = Within("--teacher-weight", arguments.GetValue(_teacherWeight) ?? defaults.TeacherWeight, 0, 1),
            Temperature = Within("--temperature", arguments.GetValue(_temperature) ?? defaults.Temperature, 0.01, 100),
            Window = (int)Within("--window", arguments.GetValue(_window) ?? defaults.Window, 2, 65_536),
        };
    }

    private static double Within(string option, double value, double low, double high) => value >= low && value <= high
        ? value
        : throw VerbException.Usage($"{option} is {value:G}", $"use {low:G} to {high:G}");

    private static string Among(string option, string value, params string[] allowed) => allowed.Contains(value)
        ? value
        : throw VerbException.Usage($"{option} is '{value}'", $"use one of {string.Join(" ", allowed)}");
}
