using System.CommandLine;
using Sparseland.Training.Data;

namespace Sparseland.Cli.Verbs;

/// <summary>Options that several verbs have, declared once so that they are spelled and explained alike.</summary>
internal static class SharedOptions
{
    public static Argument<string> Model() => new("model") { Description = "A model file: .onnx, .sparse.safetensors, .safetensors, .pt/.pth/.th, .npz, llama2.c .bin." };

    public static Option<string?> DataRoot() => new("--data-root") { Description = $"Folder with one folder per known data set (default: {DataCatalog.EnvironmentVariable})." };

    public static Option<string?> Data(bool required = false) => new("--data")
    {
        Description = "A built-in or known set (see 'list data'), IDX or CIFAR files, a folder with a folder per class, .npz or .txt.",
        Required = required,
    };

    public static Option<string?> Architecture() => new("--architecture") { Description = "The architecture of a checkpoint without a graph; matched by names and shapes when left out." };

    public static Option<string?> Normalize() => new("--normalize") { Description = "Input normalisation as mean/std per channel, e.g. 0.485,0.456,0.406/0.229,0.224,0.225; travels with the model." };

    public static Option<string?> Output(string what) => new("--output", "-o") { Description = what };

    public static Option<bool> Force() => new("--force") { Description = "Overwrite existing files." };

    public static Option<int> Batch(int fallback) => new("--batch") { Description = "Samples per step.", DefaultValueFactory = _ => fallback };
}
