using Sparseland.Pruning.Catalog;

namespace Sparseland.Pruning.Recipes;

/// <summary>The keys of a recipe: flags, YAML and documentation are made from this list.</summary>
public static class RecipeKeys
{
    /// <summary>Keys below <c>training</c>: <see cref="Recovery.TrainingPlan"/> as data. What is not set takes the verb's value.</summary>
    public static IReadOnlyList<MethodParameter> Training { get; } =
    [
        new("training.epochs", ParameterType.Number, "10", "passes over the training data") { Min = 0, Max = 100_000 },
        new("training.steps", ParameterType.Integer, "0", "optimizer steps, instead of epochs; 0 takes the epochs") { Min = 0, Max = 1e9 },
        new("training.batch", ParameterType.Integer, "128", "samples per step") { Min = 1, Max = 65_536 },
        new("training.optimizer", ParameterType.Choice, "sgd", "optimizer; text takes adamw where nothing is said") { Choices = ["sgd", "adam", "adamw"] },
        new("training.learningRate", ParameterType.Number, "0.05", "highest learning rate; 0.001 for adam and adamw where nothing is said") { Min = 0, Max = 1000 },
        new("training.momentum", ParameterType.Number, "0.9", "momentum of sgd, Nesterov form") { Min = 0, Max = 0.9999 },
        new("training.weightDecay", ParameterType.Number, "0.0005", "weight decay; norms and biases have none") { Min = 0, Max = 10 },
        new("training.schedule", ParameterType.Choice, "cosine", "learning rate by step") { Choices = ["cosine", "linear", "one-cycle", "step", "constant"] },
        new("training.warmUp", ParameterType.Share, "0", "share of the steps over which the learning rate rises from zero") { Min = 0, Max = 0.5 },
        new("training.labelSmoothing", ParameterType.Share, "0", "label smoothing") { Min = 0, Max = 0.999 },
        new("training.augment", ParameterType.Choice, "auto", "random changes of pictures; auto is crop,flip for colour pictures") { Choices = ["auto", "none", "crop", "flip", "crop,flip"] },
        new("training.average", ParameterType.Share, "0", "decay of a moving average of the weights, such as 0.999; 0 averages nothing") { Min = 0, Max = 0.999999 },
        new("training.clipNorm", ParameterType.Number, "0", "largest norm of all gradients together; 0 does not clip") { Min = 0, Max = 1e9 },
        new("training.teacher", ParameterType.Text, "none", "a model whose outputs are learned beside the labels (distillation): a file, self for the network before pruning, or none"),
        new("training.teacherWeight", ParameterType.Share, "0.9", "share of the teacher in the loss") { Min = 0, Max = 1 },
        new("training.temperature", ParameterType.Number, "4", "temperature of the distillation") { Min = 0.01, Max = 100 },
        new("training.retrain", ParameterType.Text, "all", "what is trained: all, or some of biases, norms, head, mask-lora, scale-lora, lora-prune with commas between"),
        new("training.rank", ParameterType.Integer, "16", "rank of mask-lora, scale-lora and lora-prune") { Min = 1, Max = 4096 },
        new("training.alpha", ParameterType.Number, "32", "strength of mask-lora and lora-prune: updates are scaled by alpha / rank") { Min = 1e-6, Max = 1e6 },
        new("training.window", ParameterType.Integer, "128", "tokens per sample of text") { Min = 2, Max = 65_536 },
    ];

    /// <summary>Keys that hold one value, with their types and defaults; parameters of the method come below <c>parameters.</c></summary>
    public static IReadOnlyList<MethodParameter> Scalars { get; } =
    [
        new("sparsity", ParameterType.Share, "", "share of the weights of the pruned layers that is removed") { Min = 0, Max = 0.999999 },
        new("pattern", ParameterType.Choice, "", "unstructured, N:M such as 2:4, RxC such as 4x1, row or column"),
        new("seed", ParameterType.Integer, "0", "seed of everything random") { Min = 0, Max = int.MaxValue },
        new("policy.first", ParameterType.Switch, "", "whether the first layer is pruned"),
        new("policy.last", ParameterType.Switch, "", "whether the last layer is pruned"),
        new("policy.embeddings", ParameterType.Switch, "", "whether embedding tables are pruned"),
        new("policy.depthwise", ParameterType.Switch, "", "whether depthwise kernels are pruned"),
        new("bounds.floor", ParameterType.Share, "0.2", "no layer keeps less than this share of the target density") { Min = 0, Max = 1 },
        new("bounds.minKeep", ParameterType.Integer, "16", "no layer keeps fewer weights than this; at least 1, as a layer without weights passes nothing on") { Min = 1, Max = int.MaxValue },
        new("bounds.maxDensity", ParameterType.Share, "1", "no layer keeps a larger share than this") { Min = 0, Max = 1 },
        .. Training,
    ];

    /// <summary>Keys that hold lists.</summary>
    public static IReadOnlyList<string> Lists { get; } = ["targets", "ignore"];

    /// <summary>Every key that does not depend on the method, in the order in which recipes are written.</summary>
    public static IReadOnlyList<string> All { get; } = ["method", .. Scalars.Take(2).Select(s => s.Name), .. Lists, .. Scalars.Skip(2).Select(s => s.Name)];
}
